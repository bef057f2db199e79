//! Carriers over real sockets on loopback, with the test in the machine's place.

use std::time::Duration;

use fatebound_machine::overlay::Keypair;
use futures::StreamExt;
use libp2p::Swarm;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{self, SwarmEvent};

use super::*;
use crate::asks::MAX_ASKED;
use crate::dials::MAX_WAITING;
use crate::frame::MAX_FRAME;
use crate::transport;

/// A carrier in a swarm.
struct Peer {
    swarm: Swarm<Carrier>,
    id: PeerId,
}

impl Peer {
    fn new() -> Peer {
        Peer::with(Duration::from_secs(5))
    }

    fn with(dial_limit: Duration) -> Peer {
        let keypair = Keypair::generate_ed25519();
        let id = keypair.public().to_peer_id();
        let transport = transport::build(&keypair, dial_limit).unwrap();
        let carrier = Carrier::new(
            Duration::from_secs(5),
            Duration::from_secs(5),
            Duration::from_secs(5),
            &[],
            8,
        );
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(30));
        Peer {
            swarm: Swarm::new(transport, carrier, id, config),
            id,
        }
    }

    async fn listening() -> (Peer, Multiaddr) {
        let mut peer = Peer::new();
        peer.swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let Input::Listening(addresses) = peer.next().await else {
            panic!("expected where we listen");
        };
        (peer, addresses[0].clone())
    }

    fn run(&mut self, output: Output) {
        self.swarm.behaviour_mut().execute(output);
    }

    async fn next(&mut self) -> Input {
        loop {
            if let SwarmEvent::Behaviour(input) = self.swarm.select_next_some().await {
                return input;
            }
        }
    }

    fn connect(&mut self, peer: Option<PeerId>, addresses: &[Multiaddr], fresh: bool) {
        let addresses = addresses.to_vec();
        self.run(Output::Connect { peer, addresses, fresh });
    }

    fn send(&mut self, session: Session, frame: &[u8]) {
        let frame = frame.to_vec();
        self.run(Output::Send {
            session,
            frame,
            urgent: false,
        });
    }

    fn request(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        self.ask(peer, addresses, false);
    }

    fn ask(&mut self, peer: PeerId, addresses: &[Multiaddr], fresh: bool) {
        let (addresses, body) = (addresses.to_vec(), b"question".to_vec());
        self.run(Output::Request {
            request: RequestId(7),
            peer,
            addresses,
            fresh,
            body,
        });
    }
}

/// The next input of `peer`, while `other` is turned too.
async fn next(peer: &mut Peer, other: &mut Peer) -> Input {
    tokio::select! {
        input = peer.next() => input,
        input = other.next() => panic!("unexpected at the other end: {input:?}"),
    }
}

/// The next input of either.
async fn any(one: &mut Peer, other: &mut Peer) -> Input {
    tokio::select! {
        input = one.next() => input,
        input = other.next() => input,
    }
}

/// The next input of each.
async fn both(ours: &mut Peer, theirs: &mut Peer) -> (Input, Input) {
    let (mut a, mut b) = (None, None);
    while a.is_none() || b.is_none() {
        tokio::select! {
            input = ours.next(), if a.is_none() => a = Some(input),
            input = theirs.next(), if b.is_none() => b = Some(input),
        }
    }
    (a.unwrap(), b.unwrap())
}

fn session(input: &Input) -> (Session, Opener, Option<Multiaddr>) {
    match input {
        Input::Connected {
            session,
            opener,
            address,
            ..
        } => (*session, *opener, address.clone()),
        other => panic!("expected a session: {other:?}"),
    }
}

async fn connected() -> (Peer, Session, Peer, Session, Multiaddr) {
    let (mut theirs, address) = Peer::listening().await;
    let mut ours = Peer::new();
    ours.connect(Some(theirs.id), std::slice::from_ref(&address), false);
    let (a, b) = both(&mut ours, &mut theirs).await;
    let (ours_session, opener, dialled) = session(&a);
    assert_eq!((opener, dialled.as_ref()), (Opener::Us, Some(&address)));
    let (their_session, opener, dialled) = session(&b);
    assert_eq!((opener, dialled), (Opener::Them, None));
    (ours, ours_session, theirs, their_session, address)
}

fn failures(input: Input) -> Vec<(Multiaddr, DialFailure)> {
    match input {
        Input::DialFailed { failures, .. } | Input::RequestFailed { failures, .. } => failures,
        other => panic!("expected a failure: {other:?}"),
    }
}

/// A port where nothing listens.
fn closed_port() -> Multiaddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

#[tokio::test]
async fn frames_pass_in_order_and_a_closed_session_delivers_them_first() {
    let (mut ours, session, mut theirs, their_session, _) = connected().await;
    ours.send(session, b"one");
    ours.send(session, &vec![2; MAX_FRAME]);
    ours.send(session, b"goodbye");
    ours.run(Output::Disconnect { session });
    assert!(!ours.swarm.behaviour().is_flushed());
    for expected in [b"one".to_vec(), vec![2; MAX_FRAME], b"goodbye".to_vec()] {
        match next(&mut theirs, &mut ours).await {
            Input::Received { session, frame } => assert_eq!((session, frame), (their_session, expected)),
            other => panic!("expected a frame: {other:?}"),
        }
    }
    let end = next(&mut theirs, &mut ours).await;
    assert!(
        matches!(
            end,
            Input::Disconnected {
                cause: DisconnectCause::Lost,
                ..
            }
        ),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_peer_that_vanishes_is_noticed_and_its_port_refuses() {
    let (mut ours, session, theirs, _, address) = connected().await;
    let peer = theirs.id;
    drop(theirs);
    match ours.next().await {
        Input::Disconnected { session: lost, cause } => assert_eq!((lost, cause), (session, DisconnectCause::Lost)),
        other => panic!("expected the end: {other:?}"),
    }
    ours.connect(Some(peer), std::slice::from_ref(&address), true);
    assert_eq!(failures(ours.next().await), [(address, DialFailure::Refused)]);
}

#[tokio::test]
async fn a_second_session_uses_the_connection_that_is_up_unless_a_fresh_one_is_wanted() {
    let (mut ours, _, mut theirs, _, address) = connected().await;
    let mut connections = Vec::new();
    for fresh in [false, true] {
        ours.connect(Some(theirs.id), std::slice::from_ref(&address), fresh);
        let (a, b) = both(&mut ours, &mut theirs).await;
        assert_eq!(session(&a).2.as_ref(), Some(&address));
        session(&b);
        connections.push(ours.swarm.behaviour().connections.len());
    }
    assert_eq!(connections, [1, 2]);
}

#[tokio::test]
async fn a_session_that_the_other_end_opens_on_our_connection_has_our_dialled_address() {
    let (mut ours, _, mut theirs, _, address) = connected().await;
    theirs.connect(Some(ours.id), &[], false);
    let (a, b) = both(&mut ours, &mut theirs).await;
    assert_eq!((session(&a).1, session(&a).2), (Opener::Them, Some(address)));
    assert_eq!((session(&b).1, session(&b).2), (Opener::Us, None));
}

#[tokio::test]
async fn a_bootstrap_address_need_not_say_who_lives_there() {
    let (mut theirs, address) = Peer::listening().await;
    let mut ours = Peer::new();
    ours.connect(None, &[closed_port(), address.clone()], false);
    let (a, _) = both(&mut ours, &mut theirs).await;
    assert_eq!(session(&a).2, Some(address));
}

#[tokio::test]
async fn each_address_fails_for_its_own_reason() {
    let (mut theirs, address) = Peer::listening().await;
    let mut ours = Peer::new();
    let refused = closed_port();
    let unsupported: Multiaddr = "/memory/5".parse().unwrap();
    let wanted = PeerId::random();
    ours.connect(Some(wanted), &[refused.clone(), unsupported.clone()], false);
    let mut causes = failures(ours.next().await);
    causes.sort_by_key(|(address, _)| *address != refused);
    assert_eq!(
        causes,
        [(refused, DialFailure::Refused), (unsupported, DialFailure::Other)]
    );
    ours.connect(Some(wanted), std::slice::from_ref(&address), false);
    let causes = failures(next(&mut ours, &mut theirs).await);
    assert_eq!(causes, [(address, DialFailure::WrongPeer)]);
    ours.connect(Some(wanted), &[], false);
    assert_eq!(failures(ours.next().await), []);
}

#[tokio::test]
async fn dialling_ourselves_fails() {
    let (mut ours, address) = Peer::listening().await;
    let given = address.with(Protocol::P2p(ours.id));
    ours.connect(None, std::slice::from_ref(&given), false);
    let causes = failures(ours.next().await);
    assert_eq!(causes.len(), 1);
    assert_ne!(causes[0].1, DialFailure::Refused);
}

#[tokio::test]
async fn verifying_leaves_no_connection() {
    let (mut theirs, address) = Peer::listening().await;
    let mut ours = Peer::new();
    let peer = theirs.id;
    let given = address.clone().with(Protocol::P2p(peer));
    ours.run(Output::Verify {
        peer,
        address: given.clone(),
    });
    match next(&mut ours, &mut theirs).await {
        Input::Verified { peer: seen, address } => assert_eq!((seen, address), (peer, given)),
        other => panic!("expected proof: {other:?}"),
    }
    assert!(ours.swarm.behaviour().connections.is_empty());
    let refused = closed_port();
    ours.run(Output::Verify {
        peer,
        address: refused.clone(),
    });
    assert_eq!(
        failures(next(&mut ours, &mut theirs).await),
        [(refused, DialFailure::Refused)]
    );
}

#[tokio::test]
async fn a_crowd_of_dials_goes_a_few_at_a_time_and_each_ends_once() {
    let at_once = Purpose::Verify.at_once();
    let mut ours = Peer::new();
    let refused = closed_port();
    for _ in 0..3 * at_once {
        let address = refused.clone();
        let peer = PeerId::random();
        ours.run(Output::Verify { peer, address });
    }
    let carrier = ours.swarm.behaviour();
    assert_eq!((carrier.dials.len(), carrier.waiting.len()), (at_once, 2 * at_once));
    // A link does not wait for them, nor does a question.
    ours.connect(Some(PeerId::random()), std::slice::from_ref(&refused), true);
    ours.request(PeerId::random(), std::slice::from_ref(&refused));
    assert_eq!(ours.swarm.behaviour().dials.len(), at_once + 2);
    for _ in 0..3 * at_once + 2 {
        assert_eq!(failures(ours.next().await), [(refused.clone(), DialFailure::Refused)]);
    }
    let carrier = ours.swarm.behaviour();
    assert_eq!(
        (carrier.dials.len(), carrier.waiting.len(), carrier.actions.len()),
        (0, 0, 0)
    );
}

/// Somebody takes the connections and says nothing on them. Those dials last for ever here; nothing else may.
#[tokio::test]
async fn dials_that_hang_keep_nobody_else_waiting() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hole: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port())
        .parse()
        .unwrap();
    let (mut theirs, address) = Peer::listening().await;
    let mut ours = Peer::with(Duration::from_secs(86_400));
    ours.swarm.behaviour_mut().slow_after = Duration::from_millis(300);
    let crowd = Purpose::Ask.at_once();
    for _ in 0..crowd {
        ours.request(PeerId::random(), std::slice::from_ref(&hole));
    }
    ours.request(theirs.id, std::slice::from_ref(&address));
    assert_eq!(ours.swarm.behaviour().waiting.len(), 1);
    let mut failed = 0;
    let mut answered = false;
    while failed < crowd || !answered {
        tokio::select! {
            input = ours.next() => match input {
                Input::RequestFailed { .. } => failed += 1,
                Input::Response { .. } => answered = true,
                Input::Verified { .. } => {}
                other => panic!("unexpected: {other:?}"),
            },
            question = theirs.next() => match question {
                Input::Request { request, body, .. } => theirs.run(Output::Respond { request, body }),
                other => panic!("expected a question: {other:?}"),
            },
        }
    }
    assert_eq!(failed, crowd);
}

#[tokio::test]
async fn with_few_descriptors_left_only_links_are_dialled() {
    let mut ours = Peer::new();
    ours.swarm.behaviour_mut().budget.questions = 0;
    let refused = closed_port();
    ours.request(PeerId::random(), std::slice::from_ref(&refused));
    assert_eq!(failures(ours.next().await), []);
    ours.connect(Some(PeerId::random()), std::slice::from_ref(&refused), true);
    assert_eq!(failures(ours.next().await), [(refused, DialFailure::Refused)]);
}

#[tokio::test]
async fn an_address_of_somebody_else_is_not_dialled_again_at_once() {
    let (mut other, wrong) = Peer::listening().await;
    let (theirs, right) = Peer::listening().await;
    let wanted = theirs.id;
    drop(theirs);
    let mut ours = Peer::new();
    ours.connect(Some(wanted), std::slice::from_ref(&wrong), true);
    assert_eq!(
        failures(next(&mut ours, &mut other).await),
        [(wrong.clone(), DialFailure::WrongPeer)]
    );
    drop(other);
    // Nobody is there any more, which a dial would find out.
    ours.connect(Some(wanted), &[wrong.clone(), right.clone()], true);
    let mut both = failures(ours.next().await);
    both.sort_by_key(|(address, _)| *address != wrong);
    assert_eq!(
        both,
        [(wrong.clone(), DialFailure::WrongPeer), (right, DialFailure::Refused)]
    );
    ours.connect(Some(wanted), std::slice::from_ref(&wrong), true);
    assert_eq!(failures(ours.next().await), [(wrong, DialFailure::Refused)]);
}

#[tokio::test]
async fn a_question_dials_proves_the_address_and_is_answered() {
    let (mut theirs, address) = Peer::listening().await;
    let mut ours = Peer::new();
    ours.request(theirs.id, std::slice::from_ref(&address));
    let proof = next(&mut ours, &mut theirs).await;
    assert!(matches!(proof, Input::Verified { address: at, .. } if at == address));
    let question = next(&mut theirs, &mut ours).await;
    let Input::Request { request, peer, body } = question else {
        panic!("expected a question: {question:?}");
    };
    assert_eq!((peer, body), (ours.id, b"question".to_vec()));
    theirs.run(Output::Respond {
        request,
        body: b"answer".to_vec(),
    });
    match next(&mut ours, &mut theirs).await {
        Input::Response { request, body } => assert_eq!((request, body), (RequestId(7), b"answer".to_vec())),
        other => panic!("expected an answer: {other:?}"),
    }
}

#[tokio::test]
async fn many_questions_at_once_are_answered_without_harm_to_the_connection() {
    let (mut ours, _, mut theirs, _, _) = connected().await;
    let questions = MAX_ASKED + MAX_WAITING;
    for _ in 0..questions + 1 {
        ours.request(theirs.id, &[]);
    }
    assert_eq!(failures(ours.next().await), []);
    let mut answered = 0;
    while answered < questions {
        tokio::select! {
            question = theirs.next() => match question {
                Input::Request { request, body, .. } => theirs.run(Output::Respond { request, body }),
                other => panic!("expected a question: {other:?}"),
            },
            answer = ours.next() => {
                assert!(matches!(answer, Input::Response { .. }), "{answer:?}");
                answered += 1;
            }
        }
    }
    assert!(ours.swarm.behaviour().asking.is_empty());
    assert_eq!(ours.swarm.behaviour().connections.len(), 1);
}

#[tokio::test]
async fn a_question_without_connection_or_address_fails_at_once() {
    let mut ours = Peer::new();
    ours.request(PeerId::random(), &[]);
    assert_eq!(failures(ours.next().await), []);
    let refused = closed_port();
    ours.request(PeerId::random(), std::slice::from_ref(&refused));
    assert_eq!(failures(ours.next().await), [(refused, DialFailure::Refused)]);
}

/// A peer that has dialled another one beside the connection that is up, on which it has heard nothing since; the session on the old one.
async fn silent_beside_a_fresh_one() -> (Peer, Session, Peer) {
    let (mut ours, old, mut theirs, _, address) = connected().await;
    ours.ask(theirs.id, &[address], true);
    loop {
        match any(&mut ours, &mut theirs).await {
            Input::Request { request, .. } => {
                let body = b"answer".to_vec();
                theirs.run(Output::Respond { request, body });
            }
            Input::Verified { .. } => {}
            Input::Response { .. } => break,
            input => panic!("unexpected: {input:?}"),
        }
    }
    assert_eq!(
        ours.swarm.behaviour().connections.len(),
        2,
        "a session keeps the old one"
    );
    (ours, old, theirs)
}

/// Turns both until it is so.
async fn until(ours: &mut Peer, theirs: &mut Peer, what: &str, holds: impl Fn(&Carrier) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds(ours.swarm.behaviour()) {
        assert!(Instant::now() < end, "{what}");
        let _ = tokio::time::timeout(Duration::from_millis(10), any(ours, theirs)).await;
    }
}

/// One that is up may have died without a word: nothing says so here, but nothing is heard on it either.
#[tokio::test]
async fn a_fresh_question_dials_beside_a_connection_which_is_closed_if_it_says_nothing() {
    let (mut ours, old, mut theirs) = silent_beside_a_fresh_one().await;
    ours.run(Output::Disconnect { session: old });
    until(&mut ours, &mut theirs, "the silent one stays", |ours| {
        ours.connections.len() == 1
    })
    .await;
}

/// Whoever was late itself may not have read what came: it closes nothing because it says nothing, until it has had time to read.
#[tokio::test]
async fn a_late_peer_keeps_its_silent_connections() {
    let (mut ours, old, mut theirs) = silent_beside_a_fresh_one().await;
    ours.swarm.behaviour_mut().was_late();
    assert!(ours.swarm.behaviour().late_until.is_some());
    // For longer, so that this test may be late, too.
    ours.swarm.behaviour_mut().late_until = Some(Instant::now() + Duration::from_secs(3600));
    ours.run(Output::Disconnect { session: old });
    until(&mut ours, &mut theirs, "the session stays", |ours| {
        ours.closing.is_empty()
    })
    .await;
    // All that could close it is asked once more.
    let peer = theirs.id;
    ours.swarm.behaviour_mut().leave_silent_of(&peer);
    let closes = |action: &Action| matches!(action, ToSwarm::CloseConnection { .. });
    assert!(!ours.swarm.behaviour().actions.iter().any(closes));
    assert_eq!(ours.swarm.behaviour().connections.len(), 2);
    ours.swarm.behaviour_mut().late_until = None;
    ours.swarm.behaviour_mut().leave_silent_of(&peer);
    until(&mut ours, &mut theirs, "the silent one stays", |ours| {
        ours.connections.len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_fresh_question_without_a_connection_fails_at_once() {
    let (theirs, address) = Peer::listening().await;
    let mut ours = Peer::new();
    ours.ask(theirs.id, &[address], true);
    let input = ours.next().await;
    let Input::RequestFailed { failures, .. } = input else {
        panic!("unexpected: {input:?}");
    };
    assert!(failures.is_empty());
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_bounded_memory_and_its_session() {
    let (mut ours, session, _theirs, _, _) = connected().await;
    for _ in 0..1000 {
        ours.send(session, &[0; MAX_FRAME]);
    }
    let end = ours.next().await;
    assert!(
        matches!(
            end,
            Input::Disconnected {
                cause: DisconnectCause::Overflow,
                ..
            }
        ),
        "{end:?}"
    );
}

/// A connection ends with the process at its other end: while the only one is up, whoever was met at an address still lives there.
#[tokio::test]
async fn what_was_verified_during_a_connection_is_not_dialled_again() {
    let (mut theirs, address) = Peer::listening().await;
    let mut ours = Peer::new();
    let our_listener = ours.swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let Input::Listening(our_addresses) = ours.next().await else {
        panic!("expected where we listen");
    };
    ours.connect(Some(theirs.id), std::slice::from_ref(&address), false);
    both(&mut ours, &mut theirs).await;
    let verify = |peer: &Peer, address: &Multiaddr| Output::Verify {
        peer: peer.id,
        address: address.clone(),
    };
    // They did not dial this connection, so they dial once; the connection to us is never dialled by us again.
    theirs.run(verify(&ours, &our_addresses[0]));
    assert!(matches!(next(&mut theirs, &mut ours).await, Input::Verified { .. }));
    assert!(ours.swarm.remove_listener(our_listener));
    assert!(matches!(ours.next().await, Input::Listening(left) if left.is_empty()));
    theirs.run(verify(&ours, &our_addresses[0]));
    assert!(matches!(next(&mut theirs, &mut ours).await, Input::Verified { .. }));
    let dialled = |peer: &Peer| peer.swarm.behaviour().dials.len();
    ours.run(verify(&theirs, &address));
    assert_eq!(dialled(&ours), 0);
    assert!(matches!(next(&mut ours, &mut theirs).await, Input::Verified { .. }));
    // Another address says nothing yet, and neither does a connection that is gone.
    ours.run(verify(&theirs, &closed_port()));
    failures(next(&mut ours, &mut theirs).await);
    ours.swarm.disconnect_peer_id(theirs.id).unwrap();
    both(&mut ours, &mut theirs).await;
    theirs.run(verify(&ours, &our_addresses[0]));
    failures(next(&mut theirs, &mut ours).await);
}

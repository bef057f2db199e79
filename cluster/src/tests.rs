//! The process groups of one peer, as a whole.

use fatebound_base::{Keypair, PeerId, Time};
use fatebound_overlay::directory::{Command as Order, Entry, Event as Told, Found, Order as Later, Record, Ticket};
use fatebound_overlay::{RequestId, Way};
use fatebound_tree::GroupId;

use crate::floor::Beginning;
use crate::message::{Envelope, Packet, Words};
use crate::protocols::{Attributes, GroupState};
use crate::views::Message;
use crate::{
    Cluster, Command, Config, Context, Event, Founding, GroupName, GroupRef, Input, Listing, Node, Output, Policy, Seq,
    View, ViewNumber, Voter,
};

const NETWORK: &str = "test";

fn keypair(number: u8) -> Keypair {
    Keypair::ed25519_from_bytes([number; 32]).unwrap()
}

fn node(number: u8) -> Node {
    Node {
        peer: keypair(number).public().to_peer_id(),
        incarnation: u64::from(number),
    }
}

fn name() -> GroupName {
    GroupName::try_from("db").unwrap()
}

fn handle(cluster: &mut Cluster, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    cluster.handle(Time::ZERO, input, Context::default(), &mut out);
    out
}

/// Says that this founding is led by this node.
fn record(founding: Founding, leader: u8) -> Entry {
    let listing = Listing {
        founding,
        view: ViewNumber(3),
        leader: node(leader),
        voters: 1,
    };
    let peer: PeerId = node(leader).peer;
    let record = Record {
        name: name().in_directory(),
        order: Later {
            incarnation: founding.incarnation,
            view: 3,
        },
        publisher: peer,
        signers: vec![peer],
        number: 1,
        lifetime: 60_000,
        tombstone: false,
        body: postcard::to_stdvec(&listing).unwrap(),
    };
    Entry::sign(record, NETWORK, &keypair(leader))
}

/// `from` takes `newcomer` into a group that it leads.
fn welcome(founding: Founding, from: u8, newcomer: u8) -> Input {
    let guard = GroupId {
        root: node(from).peer,
        incarnation: 0,
        sequence: 0,
    };
    let view = View {
        number: ViewNumber(4),
        voters: [from, newcomer].map(|number| Voter::new(node(number))).to_vec(),
        policy: Policy::Majority,
        cut: Seq::default(),
        guard,
    };
    let state = GroupState::founding(Attributes::default(), founding.incarnation).unwrap();
    let beginning = Beginning {
        state,
        lasts: Default::default(),
    };
    let words = Words::Welcome {
        install: Box::new(Message::Install { next: Box::new(view) }),
        state: beginning.encode(),
    };
    says(founding, from, words)
}

/// `from` says this about a founding.
fn says(founding: Founding, from: u8, words: Words) -> Input {
    let envelope = Envelope {
        group: GroupRef::new(&name(), &founding),
        to: None,
        words,
    };
    Input::Asked {
        from: node(from).peer,
        way: Way::Direct(RequestId(1)),
        packet: Packet {
            incarnation: node(from).incarnation,
            envelopes: vec![envelope],
        },
    }
}

/// The groups of a peer that has found this founding, led by this node, and wants in.
fn on_its_way(me: u8, founding: Founding, leader: u8) -> Cluster {
    let mut cluster = Cluster::new(&Config::lan(), node(me).peer, node(me).incarnation);
    let join = Command::Join {
        name: name(),
        seconds: 200,
        ticket: crate::protocols::Ticket(1),
        instance: b"process".to_vec(),
        info: Vec::new(),
        attributes: Box::default(),
    };
    let out = handle(&mut cluster, Input::Command(join));
    let ticket = out.iter().find_map(|output| match output {
        Output::Directory(order) => Some(ticket_of(order)),
        _ => None,
    });
    let found = Told::Found {
        ticket: ticket.expect("it looks the name up"),
        name: name().in_directory(),
        outcome: Found::Record(record(founding, leader)),
    };
    handle(&mut cluster, Input::Directory(found));
    cluster
}

/// N9: whoever is not named by the record, nor by those who are, founds nothing for a newcomer.
#[test]
fn a_newcomer_is_not_taken_in_by_a_stranger() {
    let (me, leader, stranger) = (1, 2, 3);
    let founding = Founding {
        incarnation: 100,
        founder: node(leader).peer,
    };
    let mut cluster = on_its_way(me, founding, leader);
    let installed = |out: &[Output]| {
        let installed = |output: &Output| matches!(output, Output::Event(Event::Installed { .. }));
        out.iter().any(installed)
    };
    assert!(!installed(&handle(&mut cluster, welcome(founding, stranger, me))));
    assert!(installed(&handle(&mut cluster, welcome(founding, leader, me))));
}

fn ticket_of(order: &Order) -> Ticket {
    match order {
        Order::Find { ticket, .. } => *ticket,
        other => panic!("{other:?}"),
    }
}

/// Random run 162 with `wan`: two who remembered that a founding was given up answered each other, more often with each copy that came by another way.
#[test]
fn two_who_remember_a_founding_that_was_given_up_do_not_answer_each_other() {
    let (me, leader, late) = (1, 2, 3);
    let of = |incarnation| Founding {
        incarnation,
        founder: node(leader).peer,
    };
    let mut cluster = on_its_way(me, of(100), leader);
    handle(&mut cluster, welcome(of(100), leader, me));
    let given_up = Words::Dissolved { favour: of(50) };
    handle(&mut cluster, says(of(100), leader, given_up.clone()));
    let said = |out: Vec<Output>| {
        let words = out.into_iter().filter_map(|output| match output {
            Output::Post { packet, .. } => Some(packet.envelopes),
            _ => None,
        });
        words.flatten().map(|envelope| envelope.words).collect::<Vec<Words>>()
    };
    let insert = Words::Insert {
        voter: Voter::new(node(late)),
    };
    let answers = said(handle(&mut cluster, says(of(100), late, insert)));
    assert_eq!(answers, std::slice::from_ref(&given_up));
    assert_eq!(said(handle(&mut cluster, says(of(100), late, given_up))), []);
}

//! One input of the fuzzer for the `machine` target: a setting, then steps.

use std::time::Duration;

use arbitrary::Arbitrary;
use fatebound_machine::fng::{self, Ticket};
use fatebound_machine::overlay::{DialFailure, DisconnectCause, Multiaddr, Opener, RequestId, Session};
use fatebound_machine::tree::GroupId;
use fatebound_machine::{Command, Config, Input, Profile};

use crate::cast::{self, HONEST, Honest, Hostile, Who};
use crate::hub::{Hub, Manners};
use crate::words::{Group, Question, Reply, Words};

/// Steps of a run at most.
const MAX_STEPS: usize = 300;
/// Groups with a longer bound are not waited for.
const PATIENT: Duration = Duration::from_secs(130);
/// Virtual time of all steps at most, so that no input takes for ever.
const MAX_PASSED: Duration = Duration::from_secs(600);

/// Where a run starts, and what happens then.
#[derive(Debug, Arbitrary)]
pub struct Run {
    setting: Setting,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Setting {
    manners: Manners,
    /// Both honest machines, linked; otherwise one alone.
    paired: bool,
    /// They have a group of their own.
    group: bool,
    /// The first of them has created a group with the first hostile peer and the other one.
    mixed: bool,
    /// Limits so small that they are met.
    small: bool,
    seed: u8,
    /// The hostile peers fall silent at the end, and all of their groups have to fail in time.
    to_the_end: bool,
}

#[derive(Clone, Debug, Arbitrary)]
enum Step {
    Pass(u16),
    Skip(u16),
    Open {
        who: Hostile,
        to: Honest,
        by_us: bool,
        addressed: bool,
    },
    Close {
        to: Honest,
        session: u8,
        cause: u8,
    },
    Say {
        to: Honest,
        session: u8,
        words: Words,
    },
    Raw {
        to: Honest,
        session: u8,
        frame: Vec<u8>,
    },
    Ask {
        who: Hostile,
        to: Honest,
        question: Question,
    },
    AskRaw {
        who: Hostile,
        to: Honest,
        body: Vec<u8>,
    },
    Answer {
        number: u8,
        reply: Reply,
    },
    Unanswered {
        number: u8,
        failure: Option<Failure>,
    },
    Dialled {
        number: u8,
        failure: Option<Failure>,
    },
    Verified {
        who: Hostile,
        to: Honest,
        address: Who,
    },
    Stray {
        to: Honest,
        stray: Stray,
    },
    Listening {
        to: Honest,
        addresses: Vec<Who>,
    },
    Order {
        to: Honest,
        order: Order,
    },
    Break {
        both: bool,
    },
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Failure {
    Refused,
    Timeout,
    WrongPeer,
    Other,
}

/// Inputs about what the machine does not know (any more).
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Stray {
    Wake,
    Closed(u64),
    Frame(u64),
    Response(u64),
    Failed(u64),
    DialFailed(Option<Hostile>),
}

#[derive(Clone, Debug, Arbitrary)]
enum Order {
    Join(Vec<Who>),
    Introduce(Who, Vec<Who>),
    Locate(Who),
    Create {
        members: Vec<Who>,
        tag: bool,
        state: u16,
        timeout: Timeout,
    },
    Signal(Group, u8),
    FallSilent(Group),
    Check(Group),
    Decide(Group, bool),
    Shutdown,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Timeout {
    Usual,
    Millis(u16),
    Any(Duration),
}

impl Failure {
    fn of(self) -> DialFailure {
        match self {
            Failure::Refused => DialFailure::Refused,
            Failure::Timeout => DialFailure::Timeout,
            Failure::WrongPeer => DialFailure::WrongPeer,
            Failure::Other => DialFailure::Other,
        }
    }
}

/// A run, and what has to be remembered of it for the last checks.
struct Play {
    hub: Hub,
    passed: Duration,
    tickets: u64,
    /// The honest peers' own group, as long as nothing has happened that may fail it.
    own: Option<GroupId>,
    /// A creation was given longer than anybody waits here.
    endless: bool,
}

impl Run {
    /// Plays it; panics when something does not hold.
    pub fn play(&self) {
        let mut play = Play::set(self.setting);
        for step in self.steps.iter().take(MAX_STEPS) {
            play.step(step);
            play.hub.flush();
        }
        play.own_group_lives();
        if self.setting.to_the_end {
            play.end();
        }
    }
}

fn config(setting: Setting) -> Config {
    let mut config = Config::preset(Profile::Local);
    if setting.small {
        config.overlay.max_links = 9;
        config.overlay.operation_window = 16;
        config.overlay.max_operations = 24;
        config.overlay.max_posts = 4;
        config.overlay.max_addresses = 2;
        config.tree.max_paths = 6;
        config.tree.max_paths_per_link = 4;
        config.tree.batch = 2;
        config.groups.max_groups = 5;
        config.groups.max_groups_per_peer = 2;
        config.groups.max_members = 3;
    }
    config
}

impl Play {
    fn set(setting: Setting) -> Play {
        let machines = if setting.paired { HONEST } else { 1 };
        let hub = Hub::new(&config(setting), machines, setting.seed, setting.manners);
        let mut play = Play {
            hub: hub.expect("presets are valid"),
            passed: Duration::ZERO,
            tickets: 0,
            own: None,
            endless: false,
        };
        for at in 0..machines {
            play.hub.input(at, Input::Listening(vec![cast::address(at)]));
            let bootstrap = (at > 0).then(|| whole_address(0)).into_iter().collect();
            play.hub.command(at, Command::Join { bootstrap });
            play.hub.pass(Duration::from_millis(100));
        }
        play.hub.pass(Duration::from_secs(3));
        if setting.paired && setting.group {
            play.create(0, vec![1]);
            play.own = play.hub.seen.groups.first().copied().filter(|_| !setting.small);
        }
        if setting.mixed {
            play.create(0, vec![2, 1]);
        }
        play.hub.pass(Duration::from_millis(500));
        play
    }

    fn create(&mut self, at: usize, members: Vec<usize>) {
        self.tickets += 1;
        let create = fng::Command::Create {
            ticket: Ticket(self.tickets),
            members: members.into_iter().map(cast::peer).collect(),
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: fng::Admit::default(),
        };
        self.hub.command(at, Command::Group(create));
    }

    fn pass(&mut self, millis: u16) {
        let duration = Duration::from_millis(millis.into());
        if self.passed + duration <= MAX_PASSED {
            self.passed += duration;
            self.hub.pass(duration);
        }
    }

    fn session(&self, to: Honest, number: u8) -> Option<Session> {
        let sessions = self.hub.hostile_sessions(to.index());
        sessions.get(usize::from(number) % sessions.len().max(1)).copied()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pass(millis) => self.pass(*millis),
            Step::Skip(millis) => {
                self.own = None;
                self.hub.skip(Duration::from_millis((*millis).into()));
            }
            Step::Open {
                who,
                to,
                by_us,
                addressed,
            } => {
                let opener = if *by_us { Opener::Us } else { Opener::Them };
                let address = (*by_us && *addressed).then(|| cast::address(who.index()));
                self.hub.open(to.index(), who.index(), opener, address);
            }
            Step::Close { to, session, cause } => {
                if let Some(session) = self.session(*to, *session) {
                    let causes = [
                        DisconnectCause::Lost,
                        DisconnectCause::Garbage,
                        DisconnectCause::Overflow,
                    ];
                    self.hub.close(to.index(), session, causes[usize::from(*cause) % 3]);
                }
            }
            Step::Say { to, session, words } => {
                if let Some(session) = self.session(*to, *session) {
                    self.hub.say(to.index(), session, words);
                }
            }
            Step::Raw { to, session, frame } => {
                if let Some(session) = self.session(*to, *session) {
                    let frame = frame.clone();
                    self.hub.input(to.index(), Input::Received { session, frame });
                }
            }
            Step::Ask { who, to, question } => {
                let body = question.bytes(who.index(), &self.hub.seen);
                self.hub.ask(to.index(), who.index(), None, body);
            }
            Step::AskRaw { who, to, body } => self.hub.ask(to.index(), who.index(), None, body.clone()),
            Step::Answer { number, reply } => {
                if let Some(waiting) = self.waiting(*number) {
                    self.hub.answer(waiting, reply);
                }
            }
            Step::Unanswered { number, failure } => {
                if let Some(waiting) = self.waiting(*number) {
                    self.hub.fail_request(waiting, failure.map(Failure::of));
                }
            }
            Step::Dialled { number, failure } => self.hub.end_dial((*number).into(), failure.map(Failure::of)),
            Step::Verified { who, to, address } => {
                let peer = cast::peer(who.index());
                let address = cast::address(address.index());
                self.hub.input(to.index(), Input::Verified { peer, address });
            }
            Step::Stray { to, stray } => self.stray(to.index(), *stray),
            Step::Listening { to, addresses } => {
                let addresses = addresses.iter().map(|who| cast::address(who.index())).collect();
                self.hub.input(to.index(), Input::Listening(addresses));
            }
            Step::Order { to, order } => self.order(to.index(), order),
            Step::Break { both } => {
                self.own = None;
                self.hub.break_honest(*both);
            }
        }
    }

    fn waiting(&mut self, number: u8) -> Option<crate::hub::Waiting> {
        let count = self.hub.waiting.len().max(1);
        self.hub.waiting.remove(usize::from(number) % count)
    }

    fn stray(&mut self, to: usize, stray: Stray) {
        // No driver ever numbers so high.
        let high = |number: u64| number | 1 << 63;
        let input = match stray {
            Stray::Wake => Input::Wake,
            Stray::Closed(number) => Input::Disconnected {
                session: Session(high(number)),
                cause: DisconnectCause::Lost,
            },
            Stray::Frame(number) => Input::Received {
                session: Session(high(number)),
                frame: vec![0],
            },
            Stray::Response(number) => Input::Response {
                request: RequestId(high(number)),
                body: Reply::Nothing.bytes(HONEST),
            },
            Stray::Failed(number) => Input::RequestFailed {
                request: RequestId(high(number)),
                failures: Vec::new(),
            },
            Stray::DialFailed(who) => Input::DialFailed {
                peer: who.map(|who| cast::peer(who.index())),
                failures: who
                    .map(|who| (cast::address(who.index()), DialFailure::Refused))
                    .into_iter()
                    .collect(),
            },
        };
        self.hub.input(to, input);
    }

    fn order(&mut self, to: usize, order: &Order) {
        let seen = &self.hub.seen;
        let command = match order {
            Order::Join(through) => Command::Join {
                bootstrap: through.iter().map(|who| whole_address(who.index())).collect(),
            },
            Order::Introduce(who, addresses) => Command::Introduce {
                peer: who.peer(),
                addresses: addresses.iter().map(|who| cast::address(who.index())).collect(),
            },
            Order::Locate(who) => Command::Locate { peer: who.peer() },
            Order::Create {
                members,
                tag,
                state,
                timeout,
            } => {
                self.tickets += 1;
                Command::Group(fng::Command::Create {
                    ticket: Ticket(self.tickets),
                    members: members.iter().map(|who| who.peer()).collect(),
                    tag: tag.then(|| "tag".into()),
                    state: vec![0; (*state).into()],
                    timeout: self.timeout(*timeout),
                    admit: fng::Admit::default(),
                })
            }
            Order::Signal(group, text) => Command::Group(fng::Command::Signal {
                group: self.ends(group.of(seen)),
                text: "w".repeat(usize::from(*text) * 8),
            }),
            Order::FallSilent(group) => Command::Group(fng::Command::FallSilent {
                group: self.ends(group.of(seen)),
            }),
            Order::Check(group) => Command::Group(fng::Command::Check {
                ticket: Ticket(0),
                group: group.of(seen),
            }),
            Order::Decide(group, accept) => Command::Group(fng::Command::Decide {
                group: group.of(seen),
                refusal: (!accept).then_some(fng::Refusal::Busy),
            }),
            Order::Shutdown => {
                self.own = None;
                Command::Shutdown
            }
        };
        self.hub.command(to, command);
    }

    fn timeout(&mut self, timeout: Timeout) -> Option<Duration> {
        match timeout {
            Timeout::Usual => None,
            Timeout::Millis(millis) => Some(Duration::from_millis(millis.into())),
            Timeout::Any(any) => {
                self.endless = true;
                Some(any)
            }
        }
    }

    /// The application itself ends this group.
    fn ends(&mut self, group: GroupId) -> GroupId {
        self.own = self.own.filter(|own| *own != group);
        group
    }

    /// "It cannot fail groups it is not in" (protocol.md §9), as long as the two members can talk to each other.
    fn own_group_lives(&self) {
        let Some(own) = self.own else { return };
        for life in &self.hub.lives {
            assert!(
                !life.was_told(&own),
                "strangers have failed a group that they are not in"
            );
            assert!(life.machine.group(&own).is_some(), "a group has vanished");
        }
    }

    /// P1: all that concerns silent peers has failed once the bound is over, and whoever is told, all others are.
    fn end(&mut self) {
        self.hub.fall_silent();
        let step = Duration::from_secs(1);
        let mut passed = Duration::ZERO;
        while passed < PATIENT {
            self.hub.pass(step);
            self.hub.fall_silent();
            passed += step;
        }
        for life in &self.hub.lives {
            for view in life.machine.groups(usize::MAX) {
                let honest = |peer| cast::index_of(peer).is_some_and(|index| index < self.hub.lives.len());
                let waited = view.notification_bound <= PATIENT && !self.endless;
                let hopeless = !view.members.iter().all(honest);
                assert!(!(waited && hopeless), "a group with silent members lives on: {view:?}");
                let told = self.hub.lives.iter().any(|other| other.was_told(&view.group));
                assert!(!(waited && told), "not everybody was told: {view:?}");
            }
        }
    }
}

fn whole_address(index: usize) -> Multiaddr {
    let address = cast::address(index);
    address.with_p2p(cast::peer(index)).unwrap_or_else(|address| address)
}

/// Two honest machines that do nothing but live with this configuration for a virtual minute, if it is not refused.
pub fn live_a_minute(config: &Config) {
    let Some(mut hub) = Hub::new(config, HONEST, 1, Manners::NONE) else {
        return;
    };
    hub.thorough = false;
    for at in 0..HONEST {
        hub.input(at, Input::Listening(vec![cast::address(at)]));
        let bootstrap = (at > 0).then(|| whole_address(0)).into_iter().collect();
        hub.command(at, Command::Join { bootstrap });
    }
    hub.pass(Duration::from_secs(1));
    for (ticket, members) in [vec![1], vec![2, 1]].into_iter().enumerate() {
        let create = fng::Command::Create {
            ticket: Ticket(ticket as u64),
            members: members.into_iter().map(cast::peer).collect(),
            tag: None,
            state: Vec::new(),
            timeout: None,
            admit: fng::Admit::default(),
        };
        hub.command(0, Command::Group(create));
        hub.fall_silent();
    }
    hub.pass(Duration::from_secs(9));
    hub.break_honest(false);
    hub.flush();
    for _ in 0..10 {
        hub.pass(Duration::from_secs(5));
        hub.fall_silent();
    }
}

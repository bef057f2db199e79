//! The processes of process groups in a run: what a scenario tells them to do, and what they do by themselves.
//!
//! They vote when they are asked, mostly with yes, now and then for another phase, with no, or not at all; and whoever was put out of a group
//! comes in again, as most applications would, or does not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::protocols::{
    Attributes, DefaultVote, Ended, Event as Of, Notice, Order, Proposal, ProviderId, Ticket, Verdict, Vote, Voting,
};
use fatebound_machine::process_groups::{Command as Word, Event as Told, GroupName, Seq};
use fatebound_machine::{Command, Event};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::checkers::numbered;
use crate::deed::{Deed, ProcessGroup};
use crate::observe::{Disturbance, Observation};
use crate::world::State;
use crate::{PeerIndex, World};

/// The wall clock when a run begins, in seconds since 2020.
const MORNING: u64 = 200_000_000;

/// What a provider has to vote on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    peer: PeerIndex,
    name: GroupName,
    provider: ProviderId,
    protocol: Seq,
    phase: u32,
}

/// The processes.
#[derive(Debug)]
pub(crate) struct Applications {
    /// The providers of each peer that now runs, the last one that came last.
    providers: BTreeMap<(PeerIndex, GroupName), Vec<ProviderId>>,
    questions: BTreeSet<Question>,
    /// Who was put out, and may come in again.
    ousted: BTreeSet<(PeerIndex, GroupName)>,
    whim: StdRng,
}

/// The name of a process group of a scenario.
fn name_of(group: ProcessGroup) -> GroupName {
    let text = group.to_string();
    GroupName::try_from(text.as_str()).expect("a short text")
}

/// What a group is like: those of even numbers take everybody in, those of odd ones vote about it.
fn attributes(name: &GroupName) -> Attributes {
    let odd = name.as_str().ends_with(['1', '3', '5', '7', '9']);
    Attributes {
        default_vote: DefaultVote::Approve,
        voted_joins: odd,
        voted_leaves: odd,
        phase_limit: Duration::from_secs(3),
        ..Attributes::default()
    }
}

impl Applications {
    pub(crate) fn new(seed: u64) -> Applications {
        Applications {
            providers: BTreeMap::new(),
            questions: BTreeSet::new(),
            ousted: BTreeSet::new(),
            whim: StdRng::seed_from_u64(seed ^ 0x0a99_11ca_7105_0000),
        }
    }

    /// Takes note of what peers have told their processes.
    pub(crate) fn follow(&mut self, observations: &[(Time, Observation)]) {
        for (_, seen) in observations {
            match seen {
                Observation::Told {
                    peer,
                    event: Event::Cluster(told),
                } => self.told(*peer, told),
                Observation::Disturbed(Disturbance::Ended(ended)) => {
                    self.providers.retain(|(peer, _), _| peer != ended);
                    self.questions.retain(|question| question.peer != *ended);
                    self.ousted.retain(|(peer, _)| peer != ended);
                }
                _ => {}
            }
        }
    }

    fn told(&mut self, peer: PeerIndex, told: &Told) {
        match told {
            Told::Provider { name, provider, event } => {
                let all = self.providers.entry((peer, name.clone())).or_default();
                match event {
                    Of::Joining { .. } => all.push(*provider),
                    Of::Ended(how) => {
                        all.retain(|other| other != provider);
                        if *how == Ended::PutOut {
                            self.ousted.insert((peer, name.clone()));
                        }
                    }
                    _ => {}
                }
            }
            Told::Shown {
                name,
                to,
                notice:
                    Notice::Opened {
                        protocol,
                        phase,
                        voters,
                        ..
                    },
            } => {
                let asked = to.iter().filter(|provider| voters.contains(provider));
                self.questions.extend(asked.map(|provider| Question {
                    peer,
                    name: name.clone(),
                    provider: *provider,
                    protocol: *protocol,
                    phase: *phase,
                }));
            }
            Told::Dissolved { name, .. } => {
                self.ousted.insert((peer, name.clone()));
            }
            _ => {}
        }
    }

    /// They vote, and some come in again.
    pub(crate) fn act(&mut self, world: &mut World) {
        for question in std::mem::take(&mut self.questions) {
            let verdict = match self.whim.random_range(0..12) {
                0 => Verdict::Continue,
                1 => Verdict::Reject,
                2 => continue,
                _ => Verdict::Approve,
            };
            if world.peers[question.peer.0].state != State::Running {
                continue;
            }
            let vote = Order::Vote {
                provider: question.provider,
                protocol: question.protocol,
                phase: question.phase,
                vote: Vote::new(verdict),
            };
            order(world, question.peer, question.name, vote);
        }
        for (peer, name) in std::mem::take(&mut self.ousted) {
            if self.whim.random_bool(0.7) {
                enter(world, peer, name);
            }
        }
    }

    /// A process does what the scenario says, if there is one that could.
    pub(crate) fn does(&mut self, world: &mut World, peer: PeerIndex, group: ProcessGroup, deed: Deed) -> bool {
        let name = name_of(group);
        if deed == Deed::Enter {
            return enter(world, peer, name);
        }
        let provider = self.providers.get(&(peer, name.clone())).and_then(|all| all.last());
        let Some(provider) = provider.copied().filter(|_| runs(world, peer)) else {
            return false;
        };
        let times = if let Deed::Say(times) = deed { times } else { 1 };
        for _ in 0..times {
            world.tickets += 1;
            let what = order_of(deed, provider, world.tickets);
            order(world, peer, name.clone(), what);
        }
        true
    }
}

fn runs(world: &World, peer: PeerIndex) -> bool {
    world.peers[peer.0].state == State::Running
}

fn order_of(deed: Deed, provider: ProviderId, number: u64) -> Order {
    let ticket = Ticket(number);
    let propose = |proposal, voting| Order::Propose {
        ticket,
        provider,
        proposal,
        voting,
    };
    let value = || Proposal::State {
        value: numbered(number, 40),
        expected: None,
    };
    match deed {
        Deed::Propose => propose(value(), Voting::VOTED),
        Deed::Put => propose(value(), Voting::OnePhase),
        Deed::Barrier => {
            let name = number.to_string().into_bytes();
            propose(Proposal::Barrier { name }, Voting::VOTED)
        }
        Deed::Retire => Order::Leave { ticket, provider },
        Deed::Farewell => {
            let (text, hold) = (Vec::new(), None);
            Order::Goodbye { provider, text, hold }
        }
        Deed::Lose => Order::Gone { provider },
        Deed::Enter | Deed::Say(_) => {
            let body = numbered(number, 30);
            Order::Send { provider, body }
        }
    }
}

fn order(world: &mut World, peer: PeerIndex, name: GroupName, order: Order) {
    world.command(peer, Command::Cluster(Word::Order { name, order }));
}

/// Another process of this peer comes in, with a name of its own.
fn enter(world: &mut World, peer: PeerIndex, name: GroupName) -> bool {
    if !runs(world, peer) {
        return false;
    }
    world.tickets += 1;
    let now = MORNING + world.now().elapsed().as_secs();
    let join = Word::Join {
        attributes: Box::new(attributes(&name)),
        name,
        seconds: u32::try_from(now).unwrap_or(u32::MAX),
        ticket: Ticket(world.tickets),
        instance: format!("process {}", world.tickets).into_bytes(),
        info: Vec::new(),
    };
    world.command(peer, Command::Cluster(join));
    true
}

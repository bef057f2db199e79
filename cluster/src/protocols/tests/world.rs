//! A group over a perfect log: several nodes, one chair, words that are lost with the chair or on the way. What happens in what order, the test
//! says; whether it may, the checks here say at every entry.

use std::collections::VecDeque;
use std::time::Duration;

use fatebound_base::Time;

use super::node;
use crate::numbers::{Node, Seq};
use crate::protocols::{
    Answer, Attributes, Chair, ChairInput, ChairOutput, Desk, DeskInput, DeskOutput, Entry, Event, GroupState, Notice,
    Order, ProviderId, Ticket, Word,
};

/// One node: its state, its desk, and what its applications were told.
pub struct Member {
    pub node: Node,
    pub state: GroupState,
    pub desk: Desk,
    /// Entries applied here.
    pub applied: usize,
    pub shown: Vec<(ProviderId, Notice)>,
    pub events: Vec<(ProviderId, Event)>,
    pub deactivate: Vec<(ProviderId, Seq)>,
    /// Words on their way to the chair, and answers on their way back.
    pub to_chair: VecDeque<Word>,
    answers: VecDeque<Answer>,
}

/// All of it. The first member leads.
pub struct World {
    pub now: Time,
    pub members: Vec<Member>,
    pub chair: Chair,
    pub log: Vec<Entry>,
    pub checks: super::checks::Checks,
    pub next_ticket: u64,
}

impl World {
    /// A group of so many nodes, without providers.
    pub fn new(nodes: u8, attributes: Attributes) -> World {
        let founded = GroupState::founding(attributes, 7).expect("within range");
        let member = |number: u8| Member {
            node: node(number),
            state: founded.clone(),
            desk: Desk::new(node(number)),
            applied: 0,
            shown: Vec::new(),
            events: Vec::new(),
            deactivate: Vec::new(),
            to_chair: VecDeque::new(),
            answers: VecDeque::new(),
        };
        let mut world = World {
            now: Time::ZERO,
            members: (0..nodes).map(member).collect(),
            chair: Chair::new(),
            log: Vec::new(),
            checks: super::checks::Checks::default(),
            next_ticket: 0,
        };
        world.seat();
        world
    }

    /// A new chair, at the first member; the words under way are lost.
    fn seat(&mut self) {
        self.chair = Chair::new();
        for member in &mut self.members {
            member.to_chair.clear();
            member.answers.clear();
        }
        self.install();
        for place in 0..self.members.len() {
            self.desk_hears(place, DeskInput::Leader);
        }
    }

    /// A view of all members: the log is applied everywhere, and what is not in it is lost.
    pub fn install(&mut self) {
        while (0..self.members.len()).any(|place| self.apply_next(place)) {}
        let present = self.members.iter().map(|member| member.node).collect();
        self.chair_hears(ChairInput::Nodes { present });
    }

    /// What is numbered and not applied by the leader is lost with the view.
    pub fn cut(&mut self) {
        self.log.truncate(self.members[0].applied);
    }

    /// A view of the same nodes, with the same leader.
    pub fn next_view(&mut self) {
        self.install();
    }

    /// The leader's machine makes place for the next member's, and nobody is lost.
    pub fn change_chair(&mut self) {
        while (0..self.members.len()).any(|place| self.apply_next(place)) {}
        self.members.rotate_left(1);
        self.checks.chairs += 1;
        self.seat();
    }

    /// A node is gone: if it led, the next one does. It took what it alone knew along.
    pub fn lose(&mut self, place: usize) {
        if self.members.len() < 2 {
            return;
        }
        while (0..self.members.len()).any(|place| self.apply_next(place)) {}
        let lost = self.members.remove(place);
        self.checks.node_gone(lost.node, self.now);
        if place == 0 {
            self.checks.chairs += 1;
            self.seat();
        } else {
            self.install();
        }
    }

    /// A node that is new comes in with the state of another.
    pub fn add(&mut self, number: u8) {
        while (0..self.members.len()).any(|place| self.apply_next(place)) {}
        let snapshot = self.members[0].state.snapshot();
        self.members.push(Member {
            node: node(number),
            state: GroupState::restore(&snapshot).expect("a snapshot"),
            desk: Desk::new(node(number)),
            applied: self.log.len(),
            shown: Vec::new(),
            events: Vec::new(),
            deactivate: Vec::new(),
            to_chair: VecDeque::new(),
            answers: VecDeque::new(),
        });
        self.install();
        let last = self.members.len() - 1;
        self.desk_hears(last, DeskInput::Leader);
    }

    /// The way between a node and the chair breaks: `lost` of what is on it in either direction is lost, from the end.
    pub fn break_way(&mut self, place: usize, lost: usize) {
        let member = &mut self.members[place];
        let left = member.to_chair.len().saturating_sub(lost);
        member.to_chair.truncate(left);
        let left = member.answers.len().saturating_sub(lost);
        member.answers.truncate(left);
        self.desk_hears(place, DeskInput::Again);
    }

    pub fn order(&mut self, place: usize, order: Order) {
        self.checks.ordered(&order, self.now);
        self.desk_hears(place, DeskInput::Order(order));
    }

    pub fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn desk_hears(&mut self, place: usize, input: DeskInput<'_>) {
        let mut out = Vec::new();
        let member = &mut self.members[place];
        member.desk.handle(self.now, input, &member.state, &mut out);
        for bound in member.desk.bounds() {
            assert!(bound.holds(), "{bound:?}");
        }
        let applied = member.applied;
        for output in out {
            let member = &mut self.members[place];
            match output {
                DeskOutput::ToChair(word) => member.to_chair.push_back(word),
                DeskOutput::Submit(entry) => self.log.push(entry),
                DeskOutput::Show { to, notice } => {
                    for provider in to {
                        self.checks.shown(provider, Seq(applied as u64), &notice);
                        self.members[place].shown.push((provider, notice.clone()));
                    }
                }
                DeskOutput::Event { provider, event } => {
                    self.checks.event(provider, &event);
                    self.members[place].events.push((provider, event));
                }
                DeskOutput::Deactivate { provider, protocol, .. } => member.deactivate.push((provider, protocol)),
            }
        }
    }

    pub fn chair_hears(&mut self, input: ChairInput) {
        let mut out = Vec::new();
        self.chair.handle(self.now, input, &self.members[0].state, &mut out);
        for bound in self.chair.bounds() {
            assert!(bound.holds(), "{bound:?}");
        }
        for output in out {
            match output {
                ChairOutput::Number(entry) => {
                    let bytes = entry.encode().expect("an entry fits");
                    assert_eq!(Entry::decode(&bytes).as_ref(), Ok(&entry));
                    self.log.push(entry);
                }
                ChairOutput::Tell { to, answer } => {
                    let member = self.members.iter_mut().find(|member| member.node == to);
                    if let Some(member) = member {
                        member.answers.push_back(answer);
                    }
                }
            }
        }
    }

    /// Applies the next entry at one node; says whether there was one.
    pub fn apply_next(&mut self, place: usize) -> bool {
        // Nobody knows of an entry's commitment before the leader does.
        let limit = if place == 0 {
            self.log.len()
        } else {
            self.members[0].applied
        };
        let member = &mut self.members[place];
        if member.applied >= limit {
            return false;
        }
        let entry = self.log[member.applied].clone();
        let before = member.state.clone();
        let seq = Seq(member.applied as u64 + 1);
        let notices = member.state.apply(seq, &entry);
        member.applied += 1;
        self.checks
            .applied(self.now, seq, &entry, &before, &self.members[place].state, &notices);
        self.desk_hears(place, DeskInput::Applied { notices: &notices });
        if place == 0 {
            self.chair_hears(ChairInput::Applied {
                control: entry.is_control(),
            });
        }
        true
    }

    /// One word reaches the chair; says whether there was one.
    pub fn word(&mut self, place: usize) -> bool {
        let Some(word) = self.members[place].to_chair.pop_front() else {
            return false;
        };
        let from = self.members[place].node;
        self.chair_hears(ChairInput::Words {
            from,
            words: vec![word],
        });
        true
    }

    /// One answer reaches a desk; says whether there was one.
    pub fn answer(&mut self, place: usize) -> bool {
        let Some(answer) = self.members[place].answers.pop_front() else {
            return false;
        };
        self.desk_hears(place, DeskInput::Answer(answer));
        true
    }

    /// Everything that can happen without time passing does.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let places = 0..self.members.len();
            let moved = places
                .map(|place| {
                    usize::from(self.apply_next(place))
                        + usize::from(self.word(place))
                        + usize::from(self.answer(place))
                })
                .sum::<usize>();
            if moved == 0 {
                return;
            }
        }
        panic!(
            "it does not come to rest: {:?}",
            &self.log[self.log.len().saturating_sub(4)..]
        );
    }

    /// Time passes, everything that is due happens, and all that follows.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let desks = self.members.iter().filter_map(|member| member.desk.deadline());
            let due = desks.chain(self.chair.deadline()).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.chair_hears(ChairInput::Wake);
            for place in 0..self.members.len() {
                self.desk_hears(place, DeskInput::Wake);
            }
        }
        self.now = end;
    }
}

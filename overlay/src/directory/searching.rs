//! To find, to claim, or merely to ask who stands near (protocol.md §3.1, D4, D6 and D7).

use std::collections::{BTreeMap, BTreeSet};

use libp2p_identity::PeerId;
use rand::RngExt;

use super::io::{Claimed, Event, Found, Ticket};
use super::message::{Question, Reply};
use super::record::{Entry, Name};
use super::{Context, Directory, Purpose, TRIES, Timer};
use crate::{Key, Rule};

/// What a search is for.
#[derive(Clone, Debug)]
enum Goal {
    Find(Name),
    Claim { name: Name, nonce: u64 },
    Nearest,
}

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    ticket: Ticket,
    key: Key,
    goal: Goal,
    tries: u32,
    /// Once somebody has said who they are.
    keepers: Vec<PeerId>,
    /// Asked in this try, and neither answered nor failed.
    waiting: BTreeSet<PeerId>,
    replies: BTreeMap<PeerId, Reply>,
}

impl Search {
    fn question(&self) -> Question {
        match &self.goal {
            Goal::Find(name) => Question::Find(name.clone()),
            Goal::Claim { name, nonce } => Question::Claim {
                name: name.clone(),
                nonce: *nonce,
            },
            Goal::Nearest => Question::Near,
        }
    }

    fn name(&self) -> Option<&Name> {
        match &self.goal {
            Goal::Find(name) | Goal::Claim { name, .. } => Some(name),
            Goal::Nearest => None,
        }
    }

    /// The greater half of the keepers.
    fn majority(&self) -> usize {
        self.keepers.len() / 2 + 1
    }

    fn count(&self, counts: impl Fn(&Reply) -> bool) -> usize {
        self.replies.values().filter(|reply| counts(reply)).count()
    }

    /// The latest record that anybody has shown.
    fn record(&self, counts: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let shown = self.replies.values().filter_map(|reply| match reply {
            Reply::Record(entry) if counts(entry) => Some(&**entry),
            _ => None,
        });
        shown.max_by_key(|entry| (entry.record().order, entry.record().number))
    }

    fn claimant(&self) -> Option<PeerId> {
        self.replies.values().find_map(|reply| match reply {
            Reply::Claimed { by } => Some(*by),
            _ => None,
        })
    }

    /// What the answers come to when no more are waited for; `None`: nothing yet.
    fn found(&self) -> Option<Found> {
        let settled =
            |reply: &Reply| matches!(reply, Reply::Nobody { settled } if *settled || !Rule::DirectorySettled.holds());
        let nobody = self.count(settled);
        let claimed = self.count(|reply| matches!(reply, Reply::Claimed { .. }));
        let enough = !self.keepers.is_empty() && nobody + claimed >= self.majority();
        match self.claimant() {
            _ if !enough => None,
            Some(by) => Some(Found::Claimed(by)),
            None => Some(Found::Nobody),
        }
    }

    fn granted(&self) -> Option<Claimed> {
        let grants = self.replies.values().filter_map(|reply| match reply {
            Reply::Granted { incarnation } => Some(*incarnation),
            _ => None,
        });
        let grants: Vec<Option<u32>> = grants.collect();
        let enough = !self.keepers.is_empty() && grants.len() >= self.majority();
        enough.then(|| Claimed::Granted {
            incarnation: grants.into_iter().flatten().max(),
        })
    }
}

impl Directory {
    pub(super) fn find(&mut self, cx: &mut Context<'_>, ticket: Ticket, name: Name) {
        self.search(cx, ticket, name.key(&self.network), Goal::Find(name));
    }

    pub(super) fn claim(&mut self, cx: &mut Context<'_>, ticket: Ticket, name: Name) {
        let nonce = cx.rng.random();
        self.search(cx, ticket, name.key(&self.network), Goal::Claim { name, nonce });
    }

    pub(super) fn look_near(&mut self, cx: &mut Context<'_>, ticket: Ticket, key: Key) {
        self.search(cx, ticket, key, Goal::Nearest);
    }

    fn search(&mut self, cx: &mut Context<'_>, ticket: Ticket, key: Key, goal: Goal) {
        let id = self.next_search;
        self.next_search += 1;
        let search = Search {
            ticket,
            key,
            goal,
            tries: 0,
            keepers: Vec::new(),
            waiting: BTreeSet::new(),
            replies: BTreeMap::new(),
        };
        let impossible = search.name().is_some_and(|name| !name.is_within_limits());
        if impossible || self.searches.len() >= self.config.max_searches {
            self.dropped += 1;
            return self.report(&search);
        }
        self.searches.insert(id, search);
        self.search_again(cx, id);
    }

    fn search_again(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(search) = self.searches.get_mut(&id) else {
            return;
        };
        search.tries += 1;
        search.replies.clear();
        search.waiting.clear();
        let (key, question, tries) = (search.key, search.question(), search.tries);
        self.ask_nearest(Purpose::Search(id), key, question);
        self.deadlines.set(Timer::Search(id), cx.now + self.pause(tries));
    }

    /// The time of a try is over.
    pub(super) fn search_on(&mut self, cx: &mut Context<'_>, id: u64) {
        let Some(search) = self.searches.get(&id) else {
            return;
        };
        let over = search.tries >= TRIES || search.found().is_some();
        if over {
            self.end_search(id);
        } else {
            self.search_again(cx, id);
        }
    }

    pub(super) fn search_answered(&mut self, id: u64, from: PeerId, around: Option<Vec<PeerId>>, reply: Reply) {
        let Some(search) = self.searches.get(&id) else {
            return;
        };
        let (key, name) = (search.key, search.name().cloned());
        // A liar that stands nearest must not keep us from the others.
        let counts = match (&reply, &name) {
            (Reply::Record(entry), Some(name)) => self.is_true(entry, name),
            _ => true,
        };
        let keepers = around.map(|around| self.keepers_among(&key, from, around));
        if let Some(search) = self.searches.get_mut(&id) {
            search.keepers = keepers.unwrap_or_else(|| std::mem::take(&mut search.keepers));
            search.waiting.remove(&from);
            search.replies.insert(from, if counts { reply } else { Reply::Noted });
        }
        self.judge(id);
        self.ask_the_others(id);
        self.conclude(id);
    }

    /// Ends a search that needs no further answers.
    fn judge(&mut self, id: u64) {
        let Some(search) = self.searches.get(&id) else {
            return;
        };
        let done = match &search.goal {
            Goal::Nearest => true,
            Goal::Find(_) => search.record(|_| true).is_some(),
            Goal::Claim { .. } => search.record(stands).is_some(),
        };
        if done {
            self.end_search(id);
        }
    }

    fn ask_the_others(&mut self, id: u64) {
        let Some(search) = self.searches.get_mut(&id) else {
            return;
        };
        let question = search.question();
        let unasked = |peer: &&PeerId| !search.waiting.contains(*peer) && !search.replies.contains_key(*peer);
        let others: Vec<PeerId> = search.keepers.iter().filter(unasked).copied().collect();
        search.waiting.extend(&others);
        for peer in others {
            self.ask(Purpose::Search(id), peer, question.clone());
        }
    }

    /// Somebody does not answer.
    pub(super) fn search_failed(&mut self, id: u64, who: Option<PeerId>) {
        if let (Some(search), Some(who)) = (self.searches.get_mut(&id), who) {
            search.waiting.remove(&who);
        }
        self.conclude(id);
    }

    /// Ends a search of which all keepers have answered, or failed to, if the answers are enough. If not, its time goes on.
    fn conclude(&mut self, id: u64) {
        let Some(search) = self.searches.get(&id) else {
            return;
        };
        let waits = !search.waiting.is_empty() || search.keepers.is_empty();
        let enough = match &search.goal {
            Goal::Find(_) => search.found().is_some(),
            Goal::Claim { .. } => search.granted().is_some() || search.claimant().is_some(),
            Goal::Nearest => false,
        };
        if enough && !waits {
            self.end_search(id);
        }
    }

    fn end_search(&mut self, id: u64) {
        let Some(search) = self.searches.remove(&id) else {
            return;
        };
        self.deadlines.cancel(Timer::Search(id));
        self.close(|purpose| *purpose == Purpose::Search(id));
        self.report(&search);
    }

    fn report(&mut self, search: &Search) {
        let ticket = search.ticket;
        match search.goal.clone() {
            Goal::Nearest => self.tell(Event::Nearest {
                ticket,
                peers: search.keepers.clone(),
            }),
            Goal::Find(name) => {
                let record = search.record(|_| true).cloned().map(Found::Record);
                let outcome = record.or_else(|| search.found()).unwrap_or(Found::Unsettled);
                self.tell(Event::Found { ticket, name, outcome });
            }
            Goal::Claim { name, nonce } => {
                let exists = search.record(stands).cloned().map(Claimed::Exists);
                let taken = || search.claimant().map(Claimed::Taken);
                let outcome = exists
                    .or_else(|| search.granted())
                    .or_else(taken)
                    .unwrap_or(Claimed::Unsettled);
                if !matches!(outcome, Claimed::Granted { .. }) {
                    self.give_back(search, &name, nonce);
                }
                self.tell(Event::Claimed { ticket, name, outcome });
            }
        }
    }

    /// "a smaller part is given back at once" (D7). Nobody waits for an answer.
    fn give_back(&mut self, search: &Search, name: &Name, nonce: u64) {
        let granted = search
            .replies
            .iter()
            .filter(|(_, reply)| matches!(reply, Reply::Granted { .. }));
        for peer in granted.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            let question = Question::Unclaim {
                name: name.clone(),
                nonce,
            };
            let ask = self.ask(Purpose::Search(u64::MAX), peer, question);
            self.asks.remove(&ask);
        }
    }
}

/// Whether a name is not free: a tombstone keeps nobody from founding it anew.
fn stands(entry: &Entry) -> bool {
    !entry.record().tombstone
}

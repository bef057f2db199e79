//! What the providers of a process group are shown is one sequence (cluster.md §1): whoever was in a view to its end has seen the same in it as all
//! others who were, and whoever was not has seen a beginning of that (G5, G9). The messages of each sender come once, in its order and without a
//! gap (G8), and to a sender that stays also come its own (G10). One protocol runs at a time, and its phases are counted (G12).

use std::collections::BTreeMap;
use std::time::Duration;

use fatebound_machine::overlay::Time;
use fatebound_machine::process_groups::protocols::{Event as Of, Notice, Order, Provider, ProviderId};
use fatebound_machine::process_groups::views::Status;
use fatebound_machine::process_groups::{Command as Word, Event as Told, Founding, GroupName, Seq};
use fatebound_machine::{Command, Event};

use super::bodies::number;
use super::{Book, Checker, Report};
use crate::observe::{Disturbance, Observation};
use crate::{PeerIndex, World};

/// So long after its sending, and after the last change, a message has come.
const DELIVERED: Duration = Duration::from_secs(60);

/// One provider of one group.
type Who = (GroupName, ProviderId);
/// One view of one founding of it.
type When = (GroupName, Founding, u64);

/// What a provider was shown in one view.
#[derive(Debug)]
struct Seen {
    peer: PeerIndex,
    /// It was there when the view began, …
    from_start: bool,
    /// … and when it ended.
    to_end: bool,
    notices: Vec<Notice>,
}

/// What a provider has sent.
#[derive(Debug, Default)]
struct Sent {
    numbers: Vec<u64>,
    last: Option<Time>,
    /// Some were refused, and it is not known which.
    unsure: bool,
}

/// The checker.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    seen: BTreeMap<When, Vec<Seen>>,
    /// The view in which a node is, and since when.
    now: BTreeMap<(PeerIndex, GroupName), (Founding, u64, Time)>,
    /// The providers that live, and where what they see is written down.
    providers: BTreeMap<Who, (PeerIndex, Option<(When, usize)>)>,
    sent: BTreeMap<Who, Sent>,
    /// How many of a sender's messages a provider has passed.
    heard: BTreeMap<(Who, ProviderId), usize>,
    /// The phase that is open, as a provider knows.
    phases: BTreeMap<Who, (Seq, u32)>,
}

impl Checker for Sequences {
    fn promise(&self) -> &'static str {
        "one history of entries"
    }

    fn see(&mut self, at: Time, seen: &Observation, _book: &Book, report: &mut Report) {
        match seen {
            Observation::Ordered {
                command:
                    Command::Cluster(Word::Order {
                        name,
                        order: Order::Send { provider, body },
                    }),
                ..
            } => {
                let sent = self.sent.entry((name.clone(), *provider)).or_default();
                sent.numbers.extend(number(body));
                sent.last = Some(at);
            }
            Observation::Told {
                peer,
                event: Event::Cluster(told),
            } => {
                if let Err(what) = self.told(at, *peer, told, report) {
                    report.broken(self.promise(), at, *peer, what);
                }
            }
            Observation::Disturbed(Disturbance::Ended(ended)) => {
                self.now.retain(|(peer, _), _| peer != ended);
                self.providers.retain(|_, (peer, _)| peer != ended);
            }
            _ => {}
        }
    }

    fn end(&mut self, world: &World, book: &Book, report: &mut Report) {
        for ((name, _, view), all) in &self.seen {
            if let Err((peer, what)) = agree(all) {
                report.broken(self.promise(), book.now, peer, format!("{name}, view {view}: {what}"));
            }
        }
        self.own_messages_have_come(world, book, report);
    }
}

impl Sequences {
    fn told(&mut self, at: Time, peer: PeerIndex, told: &Told, report: &mut Report) -> Result<(), String> {
        match told {
            Told::Installed { name, founding, view } => self.installed(at, peer, name, *founding, view.number.0),
            Told::Provider { name, provider, event } => self.provider(peer, (name.clone(), *provider), event),
            Told::Shown { name, to, notice } => {
                for provider in to {
                    report.messages += u64::from(matches!(notice, Notice::Message { .. }));
                    self.shown(peer, &(name.clone(), *provider), notice)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn provider(&mut self, peer: PeerIndex, who: Who, event: &Of) {
        match event {
            Of::Joining { .. } => {
                self.providers.insert(who, (peer, None));
            }
            Of::Ended(_) => {
                self.providers.remove(&who);
                self.phases.remove(&who);
            }
            Of::NotSent(_) => self.sent.entry(who).or_default().unsure = true,
            _ => {}
        }
    }

    /// What was seen in the last view is complete.
    fn installed(&mut self, at: Time, peer: PeerIndex, name: &GroupName, founding: Founding, view: u64) {
        let next = (name.clone(), founding, view);
        self.now.insert((peer, name.clone()), (founding, view, at));
        for (_, (_, place)) in self
            .providers
            .iter_mut()
            .filter(|(who, (whose, _))| *whose == peer && who.0 == *name)
        {
            let Some((when, index)) = place else { continue };
            let record = self.seen.get_mut(when).and_then(|all| all.get_mut(*index));
            if let Some(record) = record.filter(|_| when.1 == founding && when.2 + 1 == view) {
                record.to_end = true;
                *place = Some(begin(&mut self.seen, &next, peer, true));
            }
        }
    }

    fn shown(&mut self, peer: PeerIndex, who: &Who, notice: &Notice) -> Result<(), String> {
        let (founding, view, _) = self
            .now
            .get(&(peer, who.0.clone()))
            .copied()
            .ok_or("was shown something outside of every view")?;
        let when = (who.0.clone(), founding, view);
        let (_, place) = self
            .providers
            .get_mut(who)
            .ok_or("shown to a provider that is over, or none")?;
        let (_, index) = place.get_or_insert_with(|| begin(&mut self.seen, &when, peer, false));
        if let Some(record) = self.seen.get_mut(&when).and_then(|all| all.get_mut(*index)) {
            record.notices.push(notice.clone());
        }
        match notice {
            Notice::Message { from, body } => self.heard(who, *from, number(body)),
            Notice::Opened { protocol, phase, .. } => self.opened(who, *protocol, *phase),
            Notice::Outcome { protocol, .. } => {
                let open = self.phases.remove(who);
                let same = open.is_none_or(|(running, _)| running == *protocol);
                same.then_some(())
                    .ok_or_else(|| format!("{protocol:?} ends while {open:?} is open"))
            }
            _ => Ok(()),
        }
    }

    fn heard(&mut self, who: &Who, from: ProviderId, number: Option<u64>) -> Result<(), String> {
        let sender = (who.0.clone(), from);
        let sent = self
            .sent
            .get(&sender)
            .ok_or("a message of somebody who has sent none")?;
        let place = number.and_then(|number| sent.numbers.iter().position(|sent| *sent == number));
        let place = place.ok_or("a message that was not sent")?;
        let next = self.heard.insert((who.clone(), from), place + 1);
        match next {
            Some(next) if place < next => Err(format!("message {} of {from:?} again", place + 1)),
            Some(next) if place > next && !sent.unsure => {
                Err(format!("message {} of {from:?} after {next}", place + 1))
            }
            _ => Ok(()),
        }
    }

    fn opened(&mut self, who: &Who, protocol: Seq, phase: u32) -> Result<(), String> {
        match self.phases.insert(who.clone(), (protocol, phase)) {
            Some((before, last)) if before == protocol && last + 1 == phase => Ok(()),
            Some(before) => Err(format!("phase {phase} of {protocol:?} opens after {before:?}")),
            // Who comes in while a protocol runs is not shown its phases before.
            None => Ok(()),
        }
    }

    /// Of providers whose nodes have long been in the view in which they are.
    fn own_messages_have_come(&self, world: &World, book: &Book, report: &mut Report) {
        for (who, sent) in self.sent.iter().filter(|(_, sent)| !sent.unsure) {
            let Some((peer, Some(_))) = self.providers.get(who) else {
                continue;
            };
            let Some((_, _, since)) = self.now.get(&(*peer, who.0.clone())) else {
                continue;
            };
            let status = world
                .machine(*peer)
                .and_then(|machine| machine.process_groups().group(&who.0));
            let open = status.is_some_and(|status| {
                let listed = status
                    .state
                    .is_some_and(|state| state.provider(who.1).is_some_and(Provider::is_present));
                status.status == Status::Normal && listed
            });
            let disturbed = book.disturbed + book.bound;
            let last = sent
                .last
                .into_iter()
                .chain([*since, disturbed])
                .max()
                .unwrap_or(disturbed);
            let heard = self.heard.get(&(who.clone(), who.1)).copied().unwrap_or_default();
            if open && book.now > last + DELIVERED && heard < sent.numbers.len() {
                let what = format!(
                    "{}: of {:?} only {heard} messages have come of {}",
                    who.0,
                    who.1,
                    sent.numbers.len()
                );
                report.broken("one history of entries", book.now, *peer, what);
            }
        }
    }
}

fn begin(seen: &mut BTreeMap<When, Vec<Seen>>, when: &When, peer: PeerIndex, from_start: bool) -> (When, usize) {
    let all = seen.entry(when.clone()).or_default();
    all.push(Seen {
        peer,
        from_start,
        to_end: false,
        notices: Vec::new(),
    });
    (when.clone(), all.len() - 1)
}

/// Whether everybody has seen the same, or a part of it, at the right end.
fn agree(all: &[Seen]) -> Result<(), (PeerIndex, String)> {
    // Whoever was there all the time is the measure; else whoever has seen most.
    let Some(measure) = all
        .iter()
        .max_by_key(|seen| (seen.to_end && seen.from_start, seen.to_end, seen.notices.len()))
    else {
        return Ok(());
    };
    for seen in all {
        let (most, some) = (&measure.notices, &seen.notices);
        let right = match (seen.from_start, seen.to_end) {
            (true, true) if measure.from_start => some == most,
            (true, _) if measure.from_start => most.starts_with(some) || (!measure.to_end && some.starts_with(most)),
            (false, true) if measure.to_end => most.ends_with(some) || some.ends_with(most),
            (false, false) if measure.from_start => {
                some.is_empty() || most.windows(some.len()).any(|part| part == some)
            }
            _ => true,
        };
        // A measure that ended early may lack what others have seen later.
        if !right && (measure.to_end || seen.to_end) {
            let shared = most.iter().zip(some).take_while(|(a, b)| a == b).count();
            let what = format!(
                "was shown {} things (from its start {}, to its end {}), peer {} {} (from its start {}); {shared} at the start are the same, then {:?} and {:?}",
                some.len(),
                seen.from_start,
                seen.to_end,
                measure.peer.0,
                most.len(),
                measure.from_start,
                some.get(shared),
                most.get(shared)
            );
            return Err((seen.peer, what));
        }
    }
    Ok(())
}

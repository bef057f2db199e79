//! What the primary does: serves batch after batch, sends checkpoints, brings up secondaries, and hands over when it is asked to.

use std::time::Duration;

use fatebound_machine::overlay::PeerId;
use fatebound_machine::process_groups::protocols::ProviderId;
use tokio::sync::oneshot;

use super::checkpoint::parts;
use super::held::Asker;
use super::message::{Answer, Word};
use super::record::{Record, Role};
use super::runner::{Fault, Runner, Seat, Work};
use super::scope::{ScopeEnd, scope};
use super::worker::{Report, Task};
use super::{RoleEvent, Running, ServiceSettings};

/// Requests that are served with one checkpoint.
const BATCH: usize = 256;

/// How far handing over has come.
#[derive(Debug)]
enum Handing {
    /// Nothing more is served; what is under way comes to its end.
    Asked(Option<ProviderId>),
    /// The last checkpoint is on its way, or the program ends.
    Last(ProviderId),
    /// All of it is with the others.
    Ready(ProviderId),
}

/// One primacy of this provider.
#[derive(Debug)]
pub(crate) struct Primacy {
    epoch: u64,
    /// `None`: it is over, or pauses.
    end: Option<ScopeEnd>,
    /// Reports that the worker owes.
    pub(crate) due: u32,
    /// Since when it has been waited for one.
    since: Duration,
    /// The checkpoint that is on its way.
    outstanding: Option<u64>,
    /// Answers that wait until their checkpoint is with enough secondaries.
    answers: Vec<(Asker<PeerId>, Answer)>,
    /// Requests that are in no checkpoint yet, and when the last one was made.
    unsaved: u64,
    saved: Duration,
    /// Who was a secondary when the last checkpoint was sent.
    saved_for: Vec<ProviderId>,
    handing: Option<Handing>,
    /// Tells that the program has ended.
    running: Option<oneshot::Receiver<()>>,
}

impl Primacy {
    /// Nothing is done any more in its name, for now.
    pub(crate) fn pause(&mut self) {
        self.end = None;
    }

    pub(crate) fn hand_over(&mut self, to: Option<ProviderId>) {
        self.handing.get_or_insert(Handing::Asked(to));
    }

    /// Until its program has ended.
    pub(crate) async fn released(&mut self) {
        match self.running.as_mut() {
            Some(running) => {
                let _ = running.await;
                self.running = None;
            }
            None => std::future::pending().await,
        }
    }

    pub(crate) fn deadline(&self, settings: &ServiceSettings) -> Option<Duration> {
        let hangs = (self.due > 0).then(|| self.since + settings.serve_limit);
        // Without anybody to send it to, no checkpoint is due.
        let waits = self.end.is_some() && !self.saved_for.is_empty();
        let interval = (waits && self.unsaved > 0 && self.outstanding.is_none() && self.due == 0)
            .then(|| self.saved + settings.interval);
        [hangs, interval].into_iter().flatten().min()
    }
}

impl Runner {
    /// Begins, continues or ends the primacy.
    pub(crate) fn reign(&mut self, seat: &mut Seat) -> Result<(), Fault> {
        self.tell_role(seat)?;
        if seat.selection.primary() != Some(seat.me) {
            if let Some(over) = seat.primacy.take() {
                self.stale += over.due;
            }
            return Ok(());
        }
        let (now, limit) = (self.now(), self.settings.serve_limit);
        let hangs = |primacy: &Primacy| primacy.due > 0 && now.saturating_sub(primacy.since) >= limit;
        if seat.primacy.as_ref().is_some_and(hangs) {
            return Err(Fault::Hangs);
        }
        if seat.blocked {
            return Ok(());
        }
        let Some(mut primacy) = seat.primacy.take() else {
            seat.primacy = Some(self.begin(seat)?);
            return Ok(());
        };
        let done = self.go_on(seat, &mut primacy, now);
        seat.primacy = Some(primacy);
        done
    }

    fn begin(&self, seat: &Seat) -> Result<Primacy, Fault> {
        let now = self.now();
        let (scope, end) = scope(seat.epoch);
        let mut primacy = Primacy {
            epoch: seat.epoch,
            end: Some(end),
            due: 0,
            since: now,
            outstanding: None,
            answers: Vec::new(),
            unsaved: 0,
            saved: now,
            saved_for: Vec::new(),
            handing: None,
            running: None,
        };
        tracing::info!(
            service = self.settings.service,
            epoch = seat.epoch,
            "this provider is the primary"
        );
        match &self.work {
            Work::Worker(_) => {
                let state = seat.store.whole().map(<[u8]>::to_vec);
                self.give(&mut primacy, Task::Begin(scope, state))?;
            }
            Work::Program(_) => self.run_program(&mut primacy, scope)?,
        }
        Ok(primacy)
    }

    fn go_on(&mut self, seat: &mut Seat, primacy: &mut Primacy, now: Duration) -> Result<(), Fault> {
        if seat.leaving && seat.selection.present().len() > 1 {
            primacy.hand_over(None);
        }
        if primacy.handing.is_some() {
            return self.go_on_handing_over(seat, primacy);
        }
        if primacy.end.is_none() {
            return self.resume(seat, primacy);
        }
        self.promote(seat, primacy);
        if matches!(self.work, Work::Program(_)) || primacy.due > 0 {
            return Ok(());
        }
        let secondaries = seat.selection.secondaries();
        let newcomers = secondaries
            .iter()
            .any(|secondary| !primacy.saved_for.contains(secondary));
        let overdue = primacy.unsaved >= self.settings.every
            || (primacy.unsaved > 0 && now.saturating_sub(primacy.saved) >= self.settings.interval);
        let free = primacy.outstanding.is_none();
        let checkpoint = free && !secondaries.is_empty() && (newcomers || overdue);
        let may_serve = self.settings.sync == 0 || (free && secondaries.len() >= self.settings.sync);
        if self.held.len() > 0 && may_serve {
            let batch = self.held.take(BATCH);
            let checkpoint = self.settings.sync > 0 || checkpoint;
            primacy.unsaved += batch.len() as u64;
            self.give(primacy, Task::Serve { batch, checkpoint })
        } else if checkpoint {
            self.give(primacy, Task::Checkpoint)
        } else {
            Ok(())
        }
    }

    fn resume(&self, seat: &Seat, primacy: &mut Primacy) -> Result<(), Fault> {
        let (scope, end) = scope(primacy.epoch);
        primacy.end = Some(end);
        tracing::info!(
            service = self.settings.service,
            epoch = seat.epoch,
            "this provider is still the primary"
        );
        match &self.work {
            Work::Worker(_) => self.give(primacy, Task::Resume(scope)),
            Work::Program(_) => self.run_program(primacy, scope),
        }
    }

    /// Makes a spare a secondary, one at a time, while there are too few.
    fn promote(&self, seat: &mut Seat, primacy: &Primacy) {
        let secondaries = seat.selection.secondaries();
        if seat.proposed.is_some() || secondaries.len() >= self.settings.secondaries.max(self.settings.sync) {
            return;
        }
        let spare = seat
            .selection
            .present()
            .iter()
            .find(|id| **id != seat.me && !secondaries.contains(id));
        if let Some(spare) = spare.copied() {
            self.add_secondary(seat, primacy.epoch, spare);
        }
    }

    fn add_secondary(&self, seat: &mut Seat, term: u64, spare: ProviderId) {
        let mut secondaries = seat.selection.secondaries();
        secondaries.push(spare);
        let record = Record {
            primary: Some(seat.me),
            secondaries,
            term,
        };
        let version = seat.selection.version();
        self.propose(seat, version, &record);
    }

    fn go_on_handing_over(&mut self, seat: &mut Seat, primacy: &mut Primacy) -> Result<(), Fault> {
        let wished = match &primacy.handing {
            Some(Handing::Asked(to)) => *to,
            Some(Handing::Last(to) | Handing::Ready(to)) => Some(*to),
            None => return Ok(()),
        };
        let secondaries = seat.selection.secondaries();
        let others = || seat.selection.present().iter().copied().filter(|id| *id != seat.me);
        let target = match wished {
            Some(to) => others().find(|id| *id == to),
            None => secondaries.first().copied().or_else(|| others().next()),
        };
        let Some(target) = target else {
            tracing::info!(service = self.settings.service, "there is nobody to hand over to");
            primacy.handing = None;
            return Ok(());
        };
        if seat.proposed.is_some() {
            return Ok(());
        }
        if !secondaries.contains(&target) {
            self.add_secondary(seat, primacy.epoch, target);
            return Ok(());
        }
        let quiet = primacy.due == 0 && primacy.outstanding.is_none();
        match (&primacy.handing, &self.work) {
            (Some(Handing::Asked(_)), Work::Worker(_)) if quiet => {
                primacy.end = None;
                primacy.handing = Some(Handing::Last(target));
                return self.give(primacy, Task::Checkpoint);
            }
            (Some(Handing::Asked(_)), Work::Program(_)) => {
                primacy.end = None;
                primacy.handing = Some(Handing::Last(target));
            }
            (Some(Handing::Last(_)), Work::Worker(_)) if quiet => primacy.handing = Some(Handing::Ready(target)),
            _ => {}
        }
        if matches!(primacy.handing, Some(Handing::Last(_)))
            && matches!(self.work, Work::Program(_))
            && primacy.running.is_none()
        {
            primacy.handing = Some(Handing::Ready(target));
        }
        if matches!(primacy.handing, Some(Handing::Ready(_))) {
            let rest = secondaries.into_iter().filter(|id| *id != target);
            let record = Record {
                primary: Some(target),
                secondaries: std::iter::once(seat.me).chain(rest).collect(),
                term: 0,
            };
            let version = seat.selection.version();
            self.propose(seat, version, &record);
            // If it comes to nothing, everything is done again that may have changed meanwhile.
            primacy.handing = Some(Handing::Asked(wished));
        }
        Ok(())
    }

    fn give(&self, primacy: &mut Primacy, task: Task) -> Result<(), Fault> {
        let Work::Worker(worker) = &self.work else {
            return Ok(());
        };
        if primacy.due == 0 {
            primacy.since = self.now();
        }
        primacy.due += 1;
        worker
            .tasks
            .try_send(task)
            .map_err(|_| Fault::Failed("its thread takes no tasks".to_owned()))
    }

    fn run_program(&self, primacy: &mut Primacy, scope: super::Scope) -> Result<(), Fault> {
        let Work::Program(events) = &self.work else {
            return Ok(());
        };
        let (running, over) = oneshot::channel();
        primacy.running = Some(over);
        let running = Running { _over: running };
        events
            .try_send(RoleEvent::Primary { scope, running })
            .map_err(|_| Fault::Failed("its program does not follow its roles".to_owned()))
    }

    /// Tells a program which role it has, if that is another one. That it is the primary is told with its scope.
    fn tell_role(&mut self, seat: &Seat) -> Result<(), Fault> {
        let role = seat.selection.record().role(seat.me);
        let listed = seat.selection.present().contains(&seat.me);
        if !listed || self.told == Some(role) {
            return Ok(());
        }
        self.told = Some(role);
        let event = match role {
            Role::Primary => return Ok(()),
            Role::Secondary => RoleEvent::Secondary,
            Role::Spare => RoleEvent::Spare,
        };
        let Work::Program(events) = &self.work else {
            return Ok(());
        };
        events
            .try_send(event)
            .map_err(|_| Fault::Failed("its program does not follow its roles".to_owned()))
    }

    /// The worker has done something.
    pub(crate) fn reported(&mut self, seat: &mut Seat, report: Report) -> Result<(), Fault> {
        if let Report::Failed(why) = report {
            return Err(Fault::Failed(why));
        }
        if self.stale > 0 {
            // Of a primacy that is over: whoever waits for it asks the next primary.
            self.stale -= 1;
            return Ok(());
        }
        let now = self.now();
        let Some(mut primacy) = seat.primacy.take() else {
            return Ok(());
        };
        primacy.due = primacy.due.saturating_sub(1);
        primacy.since = now;
        let done = match report {
            Report::Served { answers, checkpoint } => {
                if self.settings.sync > 0 {
                    primacy.answers.extend(answers);
                } else {
                    self.answer_all(answers);
                }
                checkpoint.map_or(Ok(()), |bytes| self.send_checkpoint(seat, &mut primacy, &bytes))
            }
            Report::Checkpoint(bytes) => self.send_checkpoint(seat, &mut primacy, &bytes),
            Report::Begun | Report::Failed(_) => Ok(()),
        };
        seat.primacy = Some(primacy);
        done
    }

    fn send_checkpoint(&self, seat: &Seat, primacy: &mut Primacy, bytes: &[u8]) -> Result<(), Fault> {
        let number = seat.store.number().max(primacy.outstanding.unwrap_or(0)) + 1;
        for part in parts(number, bytes) {
            self.say(seat, &Word::Part(part))?;
        }
        primacy.outstanding = Some(number);
        primacy.unsaved = 0;
        primacy.saved = self.now();
        primacy.saved_for = seat.selection.secondaries();
        Ok(())
    }

    /// A checkpoint of this primary is in its place in the order: with all who are secondaries there and were already when it was begun. Who was
    /// promoted between two parts lacks the beginning, and gets the next one.
    pub(crate) fn delivered(&mut self, seat: &mut Seat, number: u64) {
        let here = seat.selection.secondaries();
        let Some(primacy) = seat.primacy.as_mut() else { return };
        let whole = here.iter().filter(|secondary| primacy.saved_for.contains(secondary));
        let enough = whole.count() >= self.settings.sync;
        if primacy.outstanding != Some(number) {
            return;
        }
        primacy.outstanding = None;
        if enough {
            let answers = std::mem::take(&mut primacy.answers);
            self.answer_all(answers);
        }
    }

    fn answer_all(&self, answers: Vec<(Asker<PeerId>, Answer)>) {
        for (asker, answer) in answers {
            self.hub.answer(asker.peer, asker.ticket, answer);
        }
    }
}

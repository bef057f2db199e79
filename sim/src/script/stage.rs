//! Where a script is played: a world, its tracer, and one method for each command.

use std::cell::RefCell;
use std::time::Duration;

use fatebound_machine::{Command, Config, Profile};

use super::conditions::Condition;
use super::words::{Words, duration};
use super::{faults, places, show};
use crate::trace::{Filter, Kind, Line, Tracer};
use crate::world::World;
use crate::{GroupId, Latency, Observe, PeerIndex};

/// How long `until` waits unless the script says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Tickets of a script's own creations begin here, away from the world's.
const TICKETS: u64 = 1 << 32;

/// The state between two commands.
#[derive(Default)]
pub(super) struct Stage {
    play: Option<Play>,
    trace: Vec<String>,
}

pub(super) struct Play {
    pub(super) world: World,
    pub(super) record: RefCell<Record>,
    pub(super) tickets: u64,
}

/// What has been traced of the current block.
pub(super) struct Record {
    pub(super) tracer: Tracer,
    /// Observations of the world's log that have been traced.
    seen: usize,
    /// All lines, shown or not.
    lines: Vec<Line>,
    /// Where the lines begin that a condition looks at.
    since: usize,
    /// Lines that were shown or hidden.
    passed: usize,
}

impl Record {
    pub(super) fn catch_up(&mut self, world: &World) {
        for (at, observation) in &world.observations[self.seen..] {
            self.lines.extend(self.tracer.line(world, *at, observation));
        }
        self.seen = world.observations.len();
    }

    /// What is new since the last call, as far as the filter shows it.
    fn show(&mut self) -> Vec<String> {
        let new = &self.lines[self.passed..];
        let shown = new.iter().filter(|line| self.tracer.filter().shows(line));
        let shown = shown.map(|line| self.tracer.stamp(line)).collect();
        self.passed = self.lines.len();
        shown
    }

    /// The lines that a condition may look at: for `until` those of this command, for `expect` those of this block.
    pub(super) fn recent(&self) -> &[Line] {
        &self.lines[self.since..]
    }
}

impl Stage {
    /// A new block begins.
    pub(super) fn begin(&mut self) {
        self.trace.clear();
        if let Some(play) = &mut self.play {
            play.world.take_observations();
            let record = play.record.get_mut();
            record.lines.clear();
            (record.seen, record.since, record.passed) = (0, 0, 0);
        }
    }

    /// Carries out one command.
    pub(super) fn play(&mut self, command: &str) -> Result<(), String> {
        let mut words = Words::of(command);
        let verb = words.next("a command")?;
        if verb == "world" {
            self.play = Some(Play::new(&mut words)?);
            return words.end();
        }
        let play = self.play.as_mut().ok_or("`world` comes first")?;
        let outcome = play.carry_out(verb, &mut words);
        play.catch_up();
        self.trace.append(&mut play.record.get_mut().show());
        if verb == "skip" {
            self.trace.clear();
        }
        self.trace.append(&mut outcome?);
        words.end()
    }

    /// What the current block has shown so far.
    pub(super) fn trace(&self) -> &[String] {
        &self.trace
    }
}

impl Play {
    /// `world seed 3 profile local latency 1ms leaves 1 digits 1 busy 100 hops 24`: an empty world.
    fn new(words: &mut Words<'_>) -> Result<Play, String> {
        let (mut seed, mut profile) = (0, Profile::Local);
        let mut latency = Duration::from_millis(1);
        let (mut leaves, mut digits, mut busy, mut hops) = (None, None, None, None);
        while let Some(word) = words.peek() {
            words.next("a setting")?;
            match word {
                "seed" => seed = words.number("a seed")?,
                "profile" => profile = words.next("a profile")?.parse()?,
                "latency" => latency = words.duration()?,
                "leaves" => leaves = Some(words.number("leaves per side")?),
                "digits" => digits = Some(words.number("bits per digit")?),
                "busy" => busy = Some(words.number("paths per link")?),
                "hops" => hops = Some(words.number("a number of hops")?),
                _ => {
                    return Err(format!(
                        "expected seed, profile, latency, leaves, digits, busy or hops, found `{word}`"
                    ));
                }
            }
        }
        let mut config = Config::preset(profile);
        config.overlay.leaves_per_side = leaves.unwrap_or(config.overlay.leaves_per_side);
        config.overlay.digit_bits = digits.unwrap_or(config.overlay.digit_bits);
        config.overlay.hop_limit = hops.unwrap_or(config.overlay.hop_limit);
        config = config.aligned();
        config.tree.max_paths_per_link = busy.unwrap_or(config.tree.max_paths_per_link);
        config.validate().map_err(|error| error.to_string())?;
        let latency = Latency::Range {
            least: latency,
            most: latency,
            jitter: Duration::ZERO,
        };
        let mut world = World::with_config(seed, config, latency);
        world.observe(Observe::Messages);
        let tracer = Tracer::new(&world, Filter::default());
        let record = RefCell::new(Record {
            tracer,
            seen: 0,
            lines: Vec::new(),
            since: 0,
            passed: 0,
        });
        Ok(Play {
            world,
            record,
            tickets: TICKETS,
        })
    }

    fn carry_out(&mut self, verb: &str, words: &mut Words<'_>) -> Result<Vec<String>, String> {
        match verb {
            "skip" => {}
            "overlay" => self.overlay(words)?,
            "spawn" => self.spawn(words)?,
            "trace" => self.trace(words)?,
            "groups" => self.groups(words)?,
            "churn" => self.churn(words)?,
            "group" => self.group(words, true)?,
            "create" => self.group(words, false)?,
            "publish" => self.publish(words)?,
            "find" => self.find(words)?,
            "claim" => self.claim(words)?,
            "listen" => self.listen(words)?,
            "body" => self.body(words)?,
            "read" => self.read(words)?,
            "signal" => self.signal(words)?,
            "silence" => self.about_group(words, World::fall_silent)?,
            "check" => self.check(words)?,
            "accept" => self.decide(words, None)?,
            "decline" => self.decide(words, Some("no"))?,
            "join" => self.join(words, false)?,
            "observe" => self.join(words, true)?,
            "leave" | "close" => self.leave(words)?,
            "shutdown" => self.about_peer(words, |world, peer| world.command(peer, Command::Shutdown))?,
            "crash" => self.about_peer(words, World::crash)?,
            "vanish" => self.about_peer(words, World::vanish)?,
            "restart" => self.about_peer(words, World::restart)?,
            "pause" => self.about_peer(words, World::pause)?,
            "resume" => self.about_peer(words, World::resume)?,
            "cut" => self.cut(words)?,
            "heal" => self.world.heal(),
            "partition" => self.partition(words)?,
            "break" => self.break_sessions(words)?,
            "run" => self.run(words)?,
            "until" => self.until(words)?,
            "expect" => self.expect(words)?,
            "show" => return show::show(&self.world, self.record.get_mut(), words),
            _ => {
                let record = self.record.get_mut();
                faults::carry_out(&mut self.world, &record.tracer, verb, words)
                    .unwrap_or_else(|| Err(format!("unknown command `{verb}`")))?;
            }
        }
        Ok(Vec::new())
    }

    /// `overlay 8`: so many peers, joined, and quiet; time counts from here. `overlay 8 at once`: they start together.
    fn overlay(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let count: usize = words.number("how many peers")?;
        let together = words.take("at") && words.keyword("once").map(|()| true)?;
        for _ in 0..count {
            let first = (!self.world.peers.is_empty()).then_some(PeerIndex(0));
            self.spawn_one(&Vec::from_iter(first));
            if !together {
                self.world.run_for(Duration::from_millis(20));
            }
        }
        let joined = |world: &World| {
            let joined = |at| {
                world
                    .machine(PeerIndex(at))
                    .is_some_and(|machine| machine.status().joined)
            };
            (0..world.peers.len()).all(joined)
        };
        if !self.world.run_until(Duration::from_secs(60), joined) {
            return Err("not every peer has joined within a minute".to_owned());
        }
        self.world.run_for(2 * self.world.config.overlay.link_interval);
        let record = self.record.get_mut();
        record.catch_up(&self.world);
        record.passed = record.lines.len();
        record.tracer.set_origin(self.world.now());
        Ok(())
    }

    /// `spawn via 0 3`: one more peer, which joins through these.
    fn spawn(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let bootstrap = if words.take("via") { words.peers()? } else { Vec::new() };
        self.spawn_one(&bootstrap);
        Ok(())
    }

    fn spawn_one(&mut self, bootstrap: &[PeerIndex]) {
        match places::keypair(self.world.peers.len()) {
            Some(keypair) => self.world.spawn_as(keypair, bootstrap),
            None => self.world.spawn(bootstrap),
        };
    }

    /// `trace +sessions -links only 0 3`: which kinds of lines are shown from now on, of which peers.
    fn trace(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let mut filter = self.record.get_mut().tracer.filter().clone();
        while let Some(word) = words.peek() {
            words.next("a kind")?;
            match word {
                "only" => filter.peers = words.peers()?.into_iter().collect(),
                "all" => filter.peers.clear(),
                _ => switch(&mut filter, word)?,
            }
        }
        self.record.get_mut().tracer.set_filter(filter);
        Ok(())
    }

    fn about_peer(&mut self, words: &mut Words<'_>, act: impl Fn(&mut World, PeerIndex)) -> Result<(), String> {
        for peer in words.peers()? {
            self.known(peer)?;
            act(&mut self.world, peer);
        }
        Ok(())
    }

    /// `cut 1 4`: both directions; `cut 1>4`: one. The peers need not exist yet.
    fn cut(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        if words.peek().is_some_and(|word| word.contains('>')) {
            words.wire().map(|(from, to)| self.world.cut_one_way(from, to))
        } else {
            words.pair().map(|(a, b)| self.world.cut(a, b))
        }
    }

    /// `partition 0 1 2 | 3 4`.
    fn partition(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let one = words.peers()?;
        words.keyword("|")?;
        let other = words.peers()?;
        self.world.partition(&one, &other);
        Ok(())
    }

    /// `break 1 4`: both notice; `break 1 4 at 1`: only p1 does.
    fn break_sessions(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (a, b) = (self.peer(words)?, self.peer(words)?);
        if !words.take("at") {
            self.world.break_sessions(a, b);
            return Ok(());
        }
        let at = self.peer(words)?;
        self.world.break_sessions_at(at, if at == a { b } else { a });
        Ok(())
    }

    fn run(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let limit = words.duration()?;
        self.traced(limit, |_, _| false);
        Ok(())
    }

    /// `until CONDITION [within 2s]`.
    fn until(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (condition, limit) = self.condition(words)?;
        self.wait_for(&condition, limit.unwrap_or(PATIENCE))
    }

    pub(super) fn wait_for(&mut self, condition: &Condition, limit: Duration) -> Result<(), String> {
        let record = self.record.get_mut();
        record.since = record.lines.len();
        let held = self.traced(limit, |world, record| condition.check(world, record).is_ok());
        if held {
            return Ok(());
        }
        let why = condition.check(&self.world, self.record.get_mut());
        Err(format!("after {limit:?} still: {}", why.err().unwrap_or_default()))
    }

    /// `expect CONDITION`: holds now.
    fn expect(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (condition, limit) = self.condition(words)?;
        if limit.is_some() {
            return Err("`within` is for `until`".to_owned());
        }
        self.record.get_mut().since = 0;
        condition.check(&self.world, self.record.get_mut())
    }

    fn condition(&mut self, words: &mut Words<'_>) -> Result<(Condition, Option<Duration>), String> {
        let text = words.rest();
        let (text, limit) = match text.rsplit_once(" within ") {
            Some((text, limit)) => (text, Some(duration(limit)?)),
            None => (text.as_str(), None),
        };
        let mut words = Words::of(text);
        let condition = Condition::parse(&mut words, &self.record.get_mut().tracer)?;
        words.end()?;
        Ok((condition, limit))
    }

    /// Runs, tracing after every event, until the condition holds.
    pub(super) fn traced(&mut self, limit: Duration, holds: impl Fn(&World, &Record) -> bool) -> bool {
        let record = &self.record;
        self.world.run_until(limit, |world| {
            let mut record = record.borrow_mut();
            record.catch_up(world);
            holds(world, &record)
        })
    }

    pub(super) fn catch_up(&mut self) {
        self.record.get_mut().catch_up(&self.world);
    }

    pub(super) fn peer(&self, words: &mut Words<'_>) -> Result<PeerIndex, String> {
        let peer = words.peer()?;
        self.known(peer)?;
        Ok(peer)
    }

    pub(super) fn known(&self, peer: PeerIndex) -> Result<(), String> {
        if peer.0 < self.world.peers.len() {
            Ok(())
        } else {
            Err(format!("there is no peer {}", peer.0))
        }
    }
}

pub(super) fn group_numbered(tracer: &Tracer, number: usize) -> Result<GroupId, String> {
    tracer
        .group(number)
        .ok_or_else(|| format!("there is no group g{number}"))
}

fn switch(filter: &mut Filter, word: &str) -> Result<(), String> {
    let kind = |name: &str| Kind::ALL.iter().find(|(word, _)| *word == name).map(|(_, kind)| *kind);
    let names: Vec<&str> = Kind::ALL.iter().map(|(name, _)| *name).collect();
    let expected = || format!("expected + or - and one of {}, found `{word}`", names.join(", "));
    if let Some(kind) = word.strip_prefix('+').and_then(kind) {
        filter.kinds.insert(kind);
    } else if let Some(kind) = word.strip_prefix('-').and_then(kind) {
        filter.kinds.remove(&kind);
    } else {
        return Err(expected());
    }
    Ok(())
}

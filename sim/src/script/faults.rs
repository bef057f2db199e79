//! What a script can do to the network and to processes beyond cuts and crashes.

use std::time::Duration;

use fatebound_machine::fng::{Reason, message::Notice};
use fatebound_machine::overlay::message::Message;
use fatebound_machine::overlay::{Key, Tag};
use fatebound_machine::tree::{Cause, Operation, PathId};
use fatebound_machine::wire;

use super::stage::group_numbered;
use super::words::Words;
use crate::trace::Tracer;
use crate::world::World;
use crate::{Adversary, MessageKind, PeerIndex, Reaction};

/// The commands of this file; `None`: it is another one's.
pub(super) fn carry_out(
    world: &mut World,
    tracer: &Tracer,
    verb: &str,
    words: &mut Words<'_>,
) -> Option<Result<(), String>> {
    let done = match verb {
        "loss" => loss(world, words),
        "delay" => delay(world, words),
        "bandwidth" => bandwidth(world, words),
        "refuse" => words.wire().map(|(from, to)| world.refuse(from, to)),
        "swallow" => words.wire().map(|(from, to)| world.black_hole(from, to)),
        "admit" => words.wire().map(|(from, to)| world.admit(from, to)),
        "deaden" => deaden(world, words),
        "calm" => {
            world.calm_network();
            Ok(())
        }
        "starve" => timed(words).map(|(peer, time)| world.starve(peer, time)),
        "jump" => timed(words).map(|(peer, time)| world.jump_clock(peer, time)),
        "drift" => drift(world, words),
        "float" => words.peer().map(|peer| world.float_address(peer)),
        "move" => words.peer().map(|peer| world.move_address(peer)),
        "when" => adversary(words).map(|adversary| world.on_message(adversary)),
        "dismiss" => {
            world.dismiss_adversaries();
            Ok(())
        }
        "forge" => forge(world, tracer, words),
        _ => return None,
    };
    Some(done)
}

/// `loss 25%`: of all packets; `loss 25% 0>3`: on one wire.
fn loss(world: &mut World, words: &mut Words<'_>) -> Result<(), String> {
    let share = share(words)?;
    if words.is_empty() {
        world.set_loss_everywhere(share);
    } else {
        let (from, to) = words.wire()?;
        world.set_loss(from, to, share);
    }
    Ok(())
}

fn share(words: &mut Words<'_>) -> Result<f64, String> {
    let word = words.next("a share such as `25%`")?;
    let percent: Option<f64> = word.strip_suffix('%').and_then(|number| number.parse().ok());
    let share = percent.filter(|percent| (0.0..=100.0).contains(percent));
    share
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("expected a share such as `25%`, found `{word}`"))
}

/// `delay 0>3 200ms`.
fn delay(world: &mut World, words: &mut Words<'_>) -> Result<(), String> {
    let (from, to) = words.wire()?;
    world.set_delay(from, to, words.duration()?);
    Ok(())
}

/// `bandwidth 0>3 1000`: bytes per second; `bandwidth 0>3 all`.
fn bandwidth(world: &mut World, words: &mut Words<'_>) -> Result<(), String> {
    let (from, to) = words.wire()?;
    let rate = if words.take("all") {
        None
    } else {
        Some(words.number("bytes per second")?)
    };
    world.set_bandwidth(from, to, rate);
    Ok(())
}

fn timed(words: &mut Words<'_>) -> Result<(PeerIndex, Duration), String> {
    Ok((words.peer()?, words.duration()?))
}

/// `deaden 0 3`: all connections between two hosts; `deaden 3`: all of one host.
fn deaden(world: &mut World, words: &mut Words<'_>) -> Result<(), String> {
    let one = words.peer()?;
    if words.is_empty() {
        world.silence_host(one);
    } else {
        world.silence_sessions(one, words.peer()?);
    }
    Ok(())
}

/// `drift 3 1.01`.
fn drift(world: &mut World, words: &mut Words<'_>) -> Result<(), String> {
    let peer = words.peer()?;
    let rate: f64 = words.number("a factor")?;
    if !(0.5..=2.0).contains(&rate) {
        return Err(format!("a clock does not run by a factor of {rate}"));
    }
    world.set_drift(peer, rate);
    Ok(())
}

/// `when Fail break`, `when Release cut 2s share 50%`: what an adversary does to messages of a kind.
fn adversary(words: &mut Words<'_>) -> Result<Adversary, String> {
    const REACTIONS: &str = "`break`, `deaden`, `cut DURATION` or `delay DURATION`";
    let name = words.next("a kind of message")?;
    let kind = KINDS.iter().find(|kind| format!("{kind:?}") == name);
    let kind = *kind.ok_or_else(|| format!("expected one of {KINDS:?}, found `{name}`"))?;
    let reaction = match words.next(REACTIONS)? {
        "break" => Reaction::BreakSession,
        "deaden" => Reaction::BreakSilently,
        "cut" => Reaction::CutLink(words.duration()?),
        "delay" => Reaction::Delay(words.duration()?),
        word => return Err(format!("expected {REACTIONS}, found `{word}`")),
    };
    let share = if words.take("share") { share(words)? } else { 1.0 };
    Ok(Adversary { kind, share, reaction })
}

const KINDS: [MessageKind; 17] = [
    MessageKind::Hello,
    MessageKind::Ping,
    MessageKind::Pong,
    MessageKind::Construct,
    MessageKind::Confirm,
    MessageKind::Release,
    MessageKind::Fail,
    MessageKind::Invite,
    MessageKind::Accept,
    MessageKind::Probe,
    MessageKind::NeedRepair,
    MessageKind::Status,
    MessageKind::Suspect,
    MessageKind::JoinGroup,
    MessageKind::LeaveGroup,
    MessageKind::Left,
    MessageKind::Members,
];

/// `forge 2>0 5 confirm g1/p3#1 hops 1`: p2's fifth operation on its link with p0, which its machine never said. Also `construct PATH
/// visited P…`, `release PATH`, `fail PATH by P`. And without a number `forge 2>0 garbage`.
fn forge(world: &mut World, tracer: &Tracer, words: &mut Words<'_>) -> Result<(), String> {
    let (from, to) = words.wire()?;
    let frame = if words.take("garbage") {
        vec![0xff; 16]
    } else {
        let number = words.number("the operation's number")?;
        let body = wire::encode(&operation(world, tracer, words)?);
        wire::encode(&Message::Operation { number, body })
    };
    if world.forge(from, to, frame) {
        Ok(())
    } else {
        Err(format!("p{} and p{} have no session", from.0, to.0))
    }
}

fn operation(world: &World, tracer: &Tracer, words: &mut Words<'_>) -> Result<Operation, String> {
    let verb = words.next("an operation")?;
    let path = path(world, tracer, words)?;
    match verb {
        "construct" => {
            words.keyword("visited")?;
            let tag = |peer: PeerIndex| Key::of(&world.id(peer)).tag();
            let visited: Vec<Tag> = words.peers()?.into_iter().map(tag).collect();
            Ok(Operation::Construct {
                path,
                visited,
                detours: 3,
            })
        }
        "confirm" => {
            words.keyword("hops")?;
            let hops = words.number("a number of hops")?;
            Ok(Operation::Confirm { path, hops })
        }
        "release" => Ok(Operation::Release {
            paths: vec![(path, Cause::Unknown)],
        }),
        "fail" => {
            words.keyword("by")?;
            let by = world.id(words.peer()?);
            let notice = Notice {
                group: path.group,
                originator: by,
                reason: Reason::MemberDied { peer: path.member },
                signature: vec![0; 64],
            };
            Ok(Operation::Fail {
                paths: vec![path],
                notice: wire::encode(&notice),
            })
        }
        _ => Err(format!("expected construct, confirm, release or fail, found `{verb}`")),
    }
}

/// `g1/p3#2`.
fn path(world: &World, tracer: &Tracer, words: &mut Words<'_>) -> Result<PathId, String> {
    let word = words.next("a path such as `g1/p3#1`")?;
    let wrong = || format!("expected a path such as `g1/p3#1`, found `{word}`");
    let (group, rest) = word.split_once('/').ok_or_else(wrong)?;
    let (member, epoch) = rest.split_once('#').ok_or_else(wrong)?;
    Ok(PathId {
        group: group_numbered(tracer, Words::of(group).group()?)?,
        member: world.id(Words::of(member).peer()?),
        epoch: epoch.parse().map_err(|_| wrong())?,
    })
}

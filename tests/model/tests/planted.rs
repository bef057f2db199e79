//! The checks can fail: with a bug planted between tree, groups and links, exploration finds it.

use fatebound_model::check::{AGREEMENT, ENDS_AGREE, NO_FALSE_ALARM, ONCE};
use fatebound_model::explore::explore;
use fatebound_model::world::{Kind, Planted, World};
use fatebound_model::worlds;

fn found(mut world: World, planted: Planted) -> Vec<&'static str> {
    world.planted = Some(planted);
    let found = explore(&world, Some(200_000), |_, _| {});
    found.violations(&world).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn releases_that_are_lost_leave_the_ends_of_a_link_at_odds() {
    let world = worlds::line("planted").with_faults(1, &[Kind::Break]);
    assert!(found(world, Planted::ReleasesLost).contains(&ENDS_AGREE));
}

#[test]
fn without_timers_somebody_is_not_told_in_time() {
    let world = worlds::star("planted").with_faults(1, &[Kind::MemberVanish]);
    assert!(found(world, Planted::TimersDead).contains(&AGREEMENT));
}

#[test]
fn without_repair_a_stranger_fails_the_group() {
    let world = worlds::star("planted").with_faults(1, &[Kind::DelegateVanish]);
    assert!(found(world, Planted::NoRepair).contains(&NO_FALSE_ALARM));
}

#[test]
fn a_leaver_that_nobody_remembers_fails_the_group() {
    let world = worlds::direct("planted").with_faults(1, &[Kind::Leave]);
    assert!(found(world, Planted::LeaversForget).contains(&NO_FALSE_ALARM));
}

#[test]
fn a_second_word_is_noticed() {
    let world = worlds::direct("planted").with_faults(1, &[Kind::Signal]);
    assert!(found(world, Planted::ToldTwice).contains(&ONCE));
}

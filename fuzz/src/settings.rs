//! One input of the fuzzer for the `config` target: parameters near a preset's, or far from it.

use std::time::Duration;

use arbitrary::Arbitrary;
use fatebound_machine::fng::Timings;
use fatebound_machine::{Config, Profile};

use crate::run::live_a_minute;

/// Changes of a preset.
#[derive(Debug, Arbitrary)]
pub struct Settings {
    preset: Preset,
    changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Preset {
    Local,
    Lan,
    Wan,
    Fuse,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Span {
    Millis(u16),
    Micros(u16),
    Any(Duration),
    Longest,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Change {
    PeerInterval(Span),
    LinkInterval(Span),
    PingTimeout(Span),
    PingFloor(Span),
    RetryFirst(Span),
    RetryLast(Span),
    MaintenanceInterval(Span),
    HopLimit(u8),
    Detours(u8),
    LeavesPerSide(u8),
    DigitBits(u32),
    MaxLinks(u16),
    OperationWindow(usize),
    MaxOperations(usize),
    MaxPosts(u8),
    MaxAddresses(u8),
    MaxRecords(u16),
    Network(u8),
    MaxPaths(u8),
    MaxPathsPerLink(u8),
    Batch(usize),
    ProbeDelay(Span),
    ProbeTimeout(Span),
    MemberTimeout(Span),
    PatienceFloor(Span),
    PathTimeout(Span),
    CreateTimeout(Span),
    ExpectedRoundTrip(Span),
    Tick(Span),
    MaxGroups(u8),
    MaxGroupsPerPeer(u8),
    MaxMembers(u8),
    Exempt(bool),
}

impl Span {
    fn of(self) -> Duration {
        match self {
            Span::Millis(millis) => Duration::from_millis(millis.into()),
            Span::Micros(micros) => Duration::from_micros(micros.into()),
            Span::Any(any) => any,
            Span::Longest => Duration::MAX,
        }
    }
}

impl Change {
    fn make(self, config: &mut Config) {
        // Nobody has a process group here.
        let Config {
            overlay, tree, groups, ..
        } = config;
        let Timings {
            probe_delay,
            probe_timeout,
            member_timeout,
            patience_floor,
            path_timeout,
            ..
        } = &mut groups.timings;
        match self {
            Change::PeerInterval(span) => overlay.peer_interval = span.of(),
            Change::LinkInterval(span) => overlay.link_interval = span.of(),
            Change::PingTimeout(span) => overlay.ping_timeout = span.of(),
            Change::PingFloor(span) => overlay.ping_floor = span.of(),
            Change::RetryFirst(span) => overlay.retry_pause.0 = span.of(),
            Change::RetryLast(span) => overlay.retry_pause.1 = span.of(),
            Change::MaintenanceInterval(span) => overlay.maintenance_interval = span.of(),
            Change::HopLimit(hops) => overlay.hop_limit = hops,
            Change::Detours(detours) => overlay.detours = detours,
            Change::LeavesPerSide(leaves) => overlay.leaves_per_side = leaves.into(),
            Change::DigitBits(bits) => overlay.digit_bits = bits,
            Change::MaxLinks(links) => overlay.max_links = links.into(),
            Change::OperationWindow(window) => overlay.operation_window = window,
            Change::MaxOperations(operations) => overlay.max_operations = operations,
            Change::MaxPosts(posts) => overlay.max_posts = posts.into(),
            Change::MaxAddresses(addresses) => overlay.max_addresses = addresses.into(),
            Change::MaxRecords(records) => overlay.max_records = records.into(),
            Change::Network(length) => overlay.network = "n".repeat(length.into()),
            Change::MaxPaths(paths) => tree.max_paths = paths.into(),
            Change::MaxPathsPerLink(paths) => tree.max_paths_per_link = paths.into(),
            Change::Batch(batch) => tree.batch = batch,
            Change::ProbeDelay(span) => *probe_delay = span.of(),
            Change::ProbeTimeout(span) => *probe_timeout = span.of(),
            Change::MemberTimeout(span) => *member_timeout = span.of(),
            Change::PatienceFloor(span) => *patience_floor = span.of(),
            Change::PathTimeout(span) => *path_timeout = span.of(),
            Change::CreateTimeout(span) => groups.create_timeout = span.of(),
            Change::ExpectedRoundTrip(span) => groups.expected_round_trip = span.of(),
            Change::Tick(span) => groups.tick = span.of(),
            Change::MaxGroups(max) => groups.max_groups = max.into(),
            Change::MaxGroupsPerPeer(max) => groups.max_groups_per_peer = max.into(),
            Change::MaxMembers(max) => groups.max_members = max.into(),
            Change::Exempt(exempt) => groups.exempt = exempt,
        }
    }
}

impl Settings {
    /// Lives with them, if they are not refused.
    pub fn try_out(&self) {
        let profile = match self.preset {
            Preset::Local => Profile::Local,
            Preset::Lan => Profile::Lan,
            Preset::Wan => Profile::Wan,
            Preset::Fuse => Profile::Fuse,
        };
        let mut config = Config::preset(profile);
        for change in self.changes.iter().take(40) {
            change.make(&mut config);
        }
        // Whoever asks first is told the same as the machine, without a panic.
        let aligned = config.clone().aligned();
        assert_eq!(aligned.clone().aligned(), aligned);
        let _ = config.validate();
        if aligned.validate().is_ok() {
            let bound = aligned.groups.notification_bound();
            assert!(bound >= aligned.groups.timings.probe_timeout);
            live_a_minute(&config);
        }
    }
}

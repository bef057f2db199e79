//! The library's views as the API's bodies.

use fatebound::{GroupView, PeerId, PeerView, RoutesView, Status};

use crate::api::model::{
    Application, Counters, GroupCounts, GroupInfo, GroupState, Links, NodeInfo, PathCounts, PeerInfo, RouteEntry,
    Routes,
};
use crate::output::as_ms;

/// A 64-bit name as text.
pub fn hexadecimal(name: u64) -> String {
    format!("{name:016x}")
}

/// The node at a glance; what the machine does not know is left for the caller.
pub fn node(status: &Status) -> NodeInfo {
    let counters = &status.counters;
    NodeInfo {
        peer: status.peer.to_string(),
        incarnation: hexadecimal(status.incarnation),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network: None,
        profile: String::new(),
        listen: Vec::new(),
        uptime_ms: 0.0,
        joined: status.joined && !status.isolated,
        isolated: status.isolated,
        bootstrap_problems: Vec::new(),
        links: Links {
            alive: status.links_alive,
            doubtful: status.links_doubtful,
        },
        groups: GroupCounts {
            root: status.groups_as_root,
            member: status.groups_as_member,
        },
        paths: PathCounts {
            total: status.paths,
            delegate: status.paths_as_delegate,
        },
        notification_bound_ms: as_ms(status.notification_bound),
        counters: Counters {
            pings_sent: counters.pings_sent,
            pings_missed: counters.pings_missed,
            doubts: counters.doubts,
            questions: counters.questions,
            frames_sent: counters.frames_sent,
            bytes_sent: counters.bytes_sent,
            garbage: counters.garbage,
            digest_mismatches: counters.digest_mismatches,
            links_lost: counters.links_lost,
            unlike: counters.unlike,
            twins: counters.twins,
            repairs: counters.repairs,
            dropped: counters.dropped,
            pipes_opened: counters.pipes_opened,
            pipes_broken: counters.pipes_broken,
        },
    }
}

/// A neighbour.
pub fn peer(view: &PeerView) -> PeerInfo {
    PeerInfo {
        peer: view.peer.to_string(),
        link: if view.doubtful { "doubtful" } else { "alive" }.to_owned(),
        wanted: view.wanted,
        paths: view.paths,
        round_trip_ms: view.round_trip.map(as_ms),
        incarnation: hexadecimal(view.incarnation),
        addresses: view.addresses.iter().map(ToString::to_string).collect(),
    }
}

/// The routes.
pub fn routes(view: RoutesView) -> Routes {
    let entry = |(digit, peer): (u8, PeerId)| RouteEntry {
        digit,
        peer: peer.to_string(),
    };
    Routes {
        key: view.key,
        below: texts(&view.below),
        above: texts(&view.above),
        rows: view
            .rows
            .into_iter()
            .map(|row| row.into_iter().map(entry).collect())
            .collect(),
    }
}

/// A group that lives here, or is being created.
pub fn group(view: &GroupView) -> GroupInfo {
    GroupInfo {
        group: view.group.to_string(),
        state: if view.complete {
            GroupState::Alive
        } else {
            GroupState::Creating
        },
        role: Some(role(view).to_owned()),
        root: view.group.root.to_string(),
        members: texts(&view.members),
        observers: texts(&view.observers),
        tag: view.tag.clone(),
        hops: view.hops.clone(),
        repairing: view.root.then_some(view.repairing),
        notification_bound_ms: Some(as_ms(view.notification_bound)),
        application: Application::default(),
        failure: None,
        end: None,
    }
}

/// What this node is in a group.
pub fn role(view: &GroupView) -> &'static str {
    match (view.root, view.observer) {
        (true, _) => "root",
        (false, true) => "observer",
        (false, false) => "member",
    }
}

fn texts(peers: &[PeerId]) -> Vec<String> {
    peers.iter().map(ToString::to_string).collect()
}

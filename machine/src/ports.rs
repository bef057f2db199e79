//! Ports: one-shot messages go to the layer that they are for, which alone reads them.
//!
//! "Whoever stands at a port decodes what comes there, once" (protocol.md §3): here, because a layer speaks in words and not in bytes. Who carries a
//! question or an answer for others does not look into it.

use fatebound_overlay::{Command, PeerId, Port, Posting, Way};
use tracing::warn;

use crate::machine::Machine;
use crate::wire;

impl Machine {
    pub(crate) fn on_asked(&mut self, from: PeerId, way: Way, port: Port, body: &[u8]) {
        match port {
            Port::GROUPS => match wire::decode(body) {
                Ok(request) => self.groups_input(fatebound_fng::Input::Asked { from, way, request }),
                Err(error) => {
                    self.sent.garbage += 1;
                    warn!(%from, %error, "a question about groups that cannot be read");
                    self.order(Command::Reply { way, body: None });
                }
            },
            Port::PROCESS_GROUPS => match wire::decode(body) {
                Ok(packet) => self.cluster_input(fatebound_cluster::Input::Asked { from, way, packet }),
                Err(error) => {
                    self.sent.garbage += 1;
                    warn!(%from, %error, "words about process groups that cannot be read");
                    self.order(Command::Reply { way, body: None });
                }
            },
            // Perhaps of a later version.
            Port(_) => self.order(Command::Reply { way, body: None }),
        }
    }

    /// A malformed answer counts as none: another copy may still be answered.
    pub(crate) fn on_answered(&mut self, posting: Posting, from: PeerId, body: &[u8]) {
        let Posting { port, post } = posting;
        let read = match port {
            Port::PROCESS_GROUPS => wire::decode(body)
                .map(|receipt| self.cluster_input(fatebound_cluster::Input::Answered { post, from, receipt })),
            _ => wire::decode(body)
                .map(|answer| self.groups_input(fatebound_fng::Input::Answered { post, from, answer })),
        };
        if read.is_err() {
            self.sent.garbage += 1;
        }
    }

    pub(crate) fn on_post_failed(&mut self, posting: Posting, unknown: bool) {
        let Posting { port, post } = posting;
        match port {
            Port::PROCESS_GROUPS => self.cluster_input(fatebound_cluster::Input::PostFailed { post }),
            _ => self.groups_input(fatebound_fng::Input::PostFailed { post, unknown }),
        }
    }
}

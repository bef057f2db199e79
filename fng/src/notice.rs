//! The word that a group has failed: signing, checking, bounding.
//!
//! Delegates carry it, so nobody has to trust them: "a `Fail` carried by delegates is signed by its originator (root or member) and verified by
//! members" (protocol.md §6). Whether the originator has a say in the group is for the group's owner to judge; here is only whether
//! these are its words.

use fatebound_overlay::{MAX_NETWORK, PeerId, Scheme, Signer};
use fatebound_tree::GroupId;

use crate::message::{MAX_TAG, MAX_TEXT, Notice};
use crate::reason::{Reason, Refusal};

/// What the signature of a notice covers besides it, so that it cannot pass for anything else.
const CONTEXT: &[u8] = b"fatebound notice 1";
/// Bytes of an encoded notice at most; a longer one is not even decoded.
const MAX_NOTICE: usize = 4096;
/// Bytes of a reason or a refusal at most that only a later version knows: a text, and some names.
const MAX_NEWER: usize = MAX_TEXT + 512;

impl Notice {
    /// In our own name; text beyond its limit is cut.
    pub(crate) fn signed(group: GroupId, reason: Reason, signer: &impl Signer) -> Notice {
        let originator = signer.peer();
        let signature = signer.sign_for(CONTEXT, &covered(&group, &originator, &reason));
        Notice {
            group,
            originator,
            reason,
            signature,
        }
    }

    /// Whether these are its originator's words, and within their limits.
    pub(crate) fn genuine(&self, scheme: &dyn Scheme) -> bool {
        let bytes = covered(&self.group, &self.originator, &self.reason);
        within_limits(&self.reason) && scheme.verify(&self.originator, CONTEXT, &bytes, &self.signature)
    }

    /// For the tree, which carries it unread.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// From the tree.
    pub(crate) fn decoded(bytes: &[u8]) -> Option<Notice> {
        if bytes.len() > MAX_NOTICE {
            return None;
        }
        postcard::from_bytes(bytes).ok()
    }
}

fn covered(group: &GroupId, originator: &PeerId, reason: &Reason) -> Vec<u8> {
    postcard::to_stdvec(&(group, originator, reason)).unwrap_or_default()
}

fn within_limits(reason: &Reason) -> bool {
    match reason {
        Reason::Signalled { text, .. } => text.len() <= MAX_TEXT,
        Reason::CreationFailed { refusal, .. } => refusal_within_limits(refusal),
        Reason::Newer { words } => words.len() <= MAX_NEWER,
        _ => true,
    }
}

/// Whether a received refusal's words are within their limits.
pub(crate) fn refusal_within_limits(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Declined { text } => text.len() <= MAX_TEXT,
        Refusal::NobodyWaits { tag } => tag.len() <= MAX_TAG,
        Refusal::Newer { words } => words.len() <= MAX_NEWER,
        Refusal::OtherNetwork { network, asked } => network.len().max(asked.len()) <= MAX_NETWORK,
        _ => true,
    }
}

/// Our own words, cut at the last character that fits into `limit` bytes.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// Our own refusal with its words cut.
pub(crate) fn cut_refusal(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Declined { text } => Refusal::Declined {
            text: cut(text, MAX_TEXT),
        },
        Refusal::NobodyWaits { tag } => Refusal::NobodyWaits { tag: cut(tag, MAX_TAG) },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use fatebound_overlay::{Ed25519, Keypair};

    use super::*;

    fn notice(text: String) -> Notice {
        let keypair = Keypair::ed25519_from_bytes([3; 32]).unwrap();
        let by = keypair.public().to_peer_id();
        let group = GroupId {
            root: by,
            incarnation: 1,
            sequence: 2,
        };
        Notice::signed(group, Reason::Signalled { by, text }, &keypair)
    }

    #[test]
    fn a_notice_survives_the_tree_and_is_genuine() {
        let notice = notice("disk full".into());
        let back = Notice::decoded(&notice.encoded()).unwrap();
        assert_eq!(back, notice);
        assert!(back.genuine(&Ed25519));
    }

    #[test]
    fn a_changed_notice_is_not_genuine() {
        let mut other_group = notice("a".into());
        other_group.group.sequence += 1;
        assert!(!other_group.genuine(&Ed25519));
        let mut other_originator = notice("a".into());
        other_originator.originator = Keypair::ed25519_from_bytes([4; 32]).unwrap().public().to_peer_id();
        assert!(!other_originator.genuine(&Ed25519));
    }

    #[test]
    fn too_long_words_are_refused_and_our_own_are_cut_between_characters() {
        assert!(!notice("x".repeat(MAX_TEXT + 1)).genuine(&Ed25519));
        assert_eq!(Notice::decoded(&vec![0; MAX_NOTICE + 1]), None);
        let cut = cut("ä".repeat(MAX_TEXT), MAX_TEXT - 1);
        assert_eq!(cut.len(), MAX_TEXT - 2);
        assert!(notice(cut).genuine(&Ed25519));
    }

    #[test]
    fn a_refusal_in_a_notice_has_its_limits_too() {
        let keypair = Keypair::ed25519_from_bytes([3; 32]).unwrap();
        let genuine = |refusal: Refusal| {
            let (notice, peer) = (notice(String::new()), keypair.public().to_peer_id());
            let reason = Reason::CreationFailed { peer, refusal };
            Notice::signed(notice.group, reason, &keypair).genuine(&Ed25519)
        };
        for more in [0, 1] {
            let (text, tag) = ("x".repeat(MAX_TEXT + more), "x".repeat(MAX_TAG + more));
            assert_eq!(genuine(Refusal::Declined { text }), more == 0);
            assert_eq!(genuine(Refusal::NobodyWaits { tag }), more == 0);
        }
    }

    #[test]
    fn what_is_longer_than_any_notice_is_not_even_decoded() {
        let mut bytes = notice("disk full".into()).encoded();
        bytes.resize(MAX_NOTICE, 0);
        assert!(Notice::decoded(&bytes).is_some());
        bytes.push(0);
        assert!(Notice::decoded(&bytes).is_none());
    }
}

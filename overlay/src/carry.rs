//! Carrying: what happens to a routed message at each peer it comes to, and to its answer on the way back.

use libp2p_identity::PeerId;

use crate::links::{self, Link};
use crate::mail::Question;
use crate::message::{Answer, Message, OneShot, Routed, RoutedAnswer, Signed, WayBack};
use crate::overlay::Overlay;
use crate::{Event, Hop, Key, LinkId, Output, Routes, Rule, Tag, Way, routed};

/// Common neighbours that one round asks through, at most: 16. "P4 holds for 32 of them": more are asked too late.
const COPIES: usize = 16;

impl Overlay {
    /// A routed question came over a link: for us, to be answered on the way, or to be handed on.
    pub(crate) fn on_routed(&mut self, link: LinkId, carrier: &PeerId, routed: Routed) {
        if !routed::is_well_formed(&self.config, Key::of(carrier).tag(), &routed) {
            tracing::debug!(%carrier, "a routed message that no honest peer sends");
            self.garbage += 1;
        } else if routed.visited.contains(&self.tag) {
            self.dropped += 1;
        } else if matches!(routed.body.body, OneShot::Join { .. }) {
            self.on_join(link, routed);
        } else if let OneShot::Nearest { key, .. } = routed.body.body {
            self.on_nearest(link, key, routed);
        } else if routed.target == self.peer {
            self.deliver(link, routed);
        } else {
            self.carry(link, routed);
        }
    }

    /// "Each copy is answered over the very way it came, and nothing else" (protocol.md §3).
    fn deliver(&mut self, link: LinkId, routed: Routed) {
        if !routed::is_genuine_question(self.identity.scheme(), &routed.body) {
            self.garbage += 1;
            return;
        }
        let Signed { from, number, body, .. } = routed.body;
        let way = WayBack {
            link,
            trail: routed.visited,
            asker: from,
            number,
        };
        match body {
            OneShot::Above { port, body } => {
                let way = Way::Routed(way);
                self.out.push(Output::Event(Event::Asked { from, way, port, body }));
            }
            // "To `Suspect`: nothing to say", so nothing is sent.
            OneShot::Suspect(peer) => self.tell_links(links::Input::Suspected { from, peer }),
            body => {
                let answer = self.overlay_answer(from, &body);
                self.answer_back(way, answer);
            }
        }
    }

    /// Hands a question on; who knows the answer to a `Locate` gives it, and so does, empty, the nearest peer that knows nothing. "◆ A `Suspect`
    /// travels around the suspect" (protocol.md §4): who carries it may not doubt the suspect yet, and its first copy is its only one.
    fn carry(&mut self, link: LinkId, routed: Routed) {
        let locate = matches!(routed.body.body, OneShot::Locate(_));
        let allow_detour = routed.detours > 0 && !locate;
        let known = locate.then(|| self.known_record(&routed.target)).flatten();
        let mut avoided = routed.visited.clone();
        if let OneShot::Suspect(suspect) = &routed.body.body
            && Rule::AroundTheSuspect.holds()
        {
            avoided.push(Key::of(suspect).tag());
        }
        match self.next_hop(&routed.target, &avoided, allow_detour) {
            Some(hop) if known.is_none() => self.spend_and_hand_on(hop, routed),
            _ if !locate => self.dropped += 1,
            _ if !routed::is_genuine_question(self.identity.scheme(), &routed.body) => self.garbage += 1,
            _ => {
                let way = WayBack {
                    link,
                    trail: routed.visited,
                    asker: routed.body.from,
                    number: routed.body.number,
                };
                self.answer_back(way, Answer::Records(known.into_iter().collect()));
            }
        }
    }

    fn spend_and_hand_on(&mut self, hop: Hop, mut routed: Routed) {
        routed.detours = routed
            .detours
            .min(self.config.detours)
            .saturating_sub(u8::from(hop.detour));
        self.hand_on(hop.link, routed);
    }

    /// Passes a question to a neighbour; "no credit left, or hop limit `H`: it stops there".
    pub(crate) fn hand_on(&mut self, link: LinkId, mut routed: Routed) {
        if routed.visited.len() >= usize::from(self.config.hop_limit) {
            self.dropped += 1;
            return;
        }
        routed.visited.push(self.tag);
        let message = Message::Routed(Box::new(routed));
        self.tell_links(links::Input::Pass { link, message });
    }

    /// Sends copies of a question of ours: one where routing says, and with a `round` also through half of the common neighbours, which change
    /// with it. None over the link to the target itself: that way is the direct one. Says whether any was sent.
    pub(crate) fn send_copies(&mut self, to: PeerId, body: &Signed<OneShot>, round: Option<u32>) -> bool {
        let avoided = [self.tag, Key::of(&to).tag()];
        let detours = self.config.detours;
        let routed = self.closest_hop(&Key::of(&to), &avoided, detours > 0 && Rule::Detours.holds());
        let mut firsts: Vec<(LinkId, u8)> = Vec::new();
        firsts.extend(routed.map(|hop| (hop.link, detours.saturating_sub(u8::from(hop.detour)))));
        for link in round
            .into_iter()
            .flat_map(|round| chosen(&self.common_neighbours(&to), round))
        {
            if firsts.iter().all(|(first, _)| *first != link) {
                firsts.push((link, detours));
            }
        }
        for (link, detours) in &firsts {
            self.send_first(*link, to, *detours, body.clone());
        }
        !firsts.is_empty()
    }

    pub(crate) fn send_first(&mut self, link: LinkId, target: PeerId, detours: u8, body: Signed<OneShot>) {
        let routed = Routed {
            target,
            visited: vec![self.tag],
            detours,
            body,
        };
        if !routed::has_room(&self.config, &routed) {
            self.dropped += 1;
            return;
        }
        let message = Message::Routed(Box::new(routed));
        self.tell_links(links::Input::Pass { link, message });
    }

    /// Asks a question of the overlay itself through the overlay, by one way. Says whether there is one.
    pub(crate) fn ask_routed(&mut self, to: PeerId, body: OneShot, question: Question) -> bool {
        let hop = self.next_hop(&to, &[self.tag], self.config.detours > 0);
        if let Some(hop) = hop {
            let signed = self.sign_question(to, body, Some(question));
            self.send_first(
                hop.link,
                to,
                self.config.detours.saturating_sub(u8::from(hop.detour)),
                signed,
            );
        }
        hop.is_some()
    }

    /// Asks over this very link where a peer lives.
    pub(crate) fn send_locate(&mut self, hop: Hop, peer: PeerId) {
        let signed = self.sign_question(peer, OneShot::Locate(peer), Some(Question::Locate(peer)));
        self.send_first(
            hop.link,
            peer,
            self.config.detours.saturating_sub(u8::from(hop.detour)),
            signed,
        );
    }

    /// Tells a neighbour of a suspect, so that it looks for itself. Over a link or through the overlay; it is not worth a dial.
    pub(crate) fn pass_suspicion(&mut self, to: PeerId, suspect: PeerId) {
        let suspect_tag = Key::of(&suspect).tag();
        if let Some(hop) = self.next_hop(&to, &[self.tag, suspect_tag], self.config.detours > 0) {
            let signed = self.sign_question(to, OneShot::Suspect(suspect), None);
            self.send_first(
                hop.link,
                to,
                self.config.detours.saturating_sub(u8::from(hop.detour)),
                signed,
            );
        }
    }

    /// Answers a routed question: signed, back over the link that it came by.
    pub(crate) fn answer_back(&mut self, way: WayBack, body: Answer) {
        let body = routed::answer(&self.identity, way.asker, way.number, body);
        let trail = match Rule::AnswersOverTheWay.holds() {
            false => vec![Key::of(&way.asker).tag()],
            true => way.trail,
        };
        self.pass_back(RoutedAnswer { trail, body });
    }

    /// An answer on its way back: ours, or somebody's behind us.
    pub(crate) fn on_routed_answer(&mut self, mut answer: RoutedAnswer) {
        if !routed::ends_at(&self.config, self.tag, &answer) {
            self.garbage += 1;
            return;
        }
        answer.trail.pop();
        if answer.trail.is_empty() {
            self.take_answer(answer.body);
        } else {
            self.pass_back(answer);
        }
    }

    fn pass_back(&mut self, answer: RoutedAnswer) {
        let next = answer.trail.last().copied();
        let Some(link) = next.and_then(|next| self.link_of(next)) else {
            self.dropped += 1;
            return;
        };
        let message = Message::RoutedAnswer(Box::new(answer));
        self.tell_links(links::Input::Pass { link, message });
    }

    fn link_of(&self, tag: Tag) -> Option<LinkId> {
        self.links.iter().find(|link| link.tag() == tag).map(Link::id)
    }

    /// An answer to a question of ours: it counts if we asked, and if its sender signed it.
    fn take_answer(&mut self, answer: Signed<Answer>) {
        let Some(question) = self.mail.numbered(answer.number) else {
            self.dropped += 1;
            return;
        };
        if answer.to != self.peer || !routed::is_genuine_answer(self.identity.scheme(), &answer) {
            self.garbage += 1;
            return;
        }
        match (question, answer.body) {
            (Question::Post(posting), Answer::Above(body)) => match self.posted_to(posting) {
                Some(to) if to == answer.from => self.answered(posting, to, body),
                Some(_) => self.garbage += 1,
                None => self.dropped += 1,
            },
            (Question::Post(posting), Answer::Unread) if self.posted_to(posting) == Some(answer.from) => {
                self.post_failed(posting, false);
            }
            (Question::Directory(ask), body) => self.directory_answered(ask, answer.from, body),
            (Question::Join, Answer::Records(records)) => self.on_join_answer(answer.from, &records),
            (Question::Locate(peer), Answer::Records(records)) => self.on_located(peer, &records),
            (Question::Records(peer), Answer::Records(records)) if peer == answer.from => {
                self.on_records(peer, &records);
            }
            _ => self.garbage += 1,
        }
    }
}

/// Every second one of the common neighbours, by its number: so each has its turn within two rounds, whatever becomes of the others in between.
/// Two at least if there are two, and [`COPIES`] at most.
fn chosen(common: &[LinkId], round: u32) -> Vec<LinkId> {
    let round = if !Rule::CopiesChangeWays.holds() { 0 } else { round };
    let (mut due, mut others): (Vec<LinkId>, Vec<LinkId>) = common.iter().partition(|link| link.0 % 2 == round % 2);
    // Where one of two rounds does not reach all, the next ones begin elsewhere.
    for links in [&mut due, &mut others] {
        let turns = round as usize / 2 * COPIES;
        let start = turns.checked_rem(links.len()).unwrap_or(0);
        links.rotate_left(start);
    }
    let fill = 2_usize.saturating_sub(due.len());
    due.extend(others.into_iter().take(fill));
    due.truncate(if !Rule::HalfOfTheNeighbours.holds() { 2 } else { COPIES });
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(numbers: impl IntoIterator<Item = u32>) -> Vec<LinkId> {
        numbers.into_iter().map(LinkId).collect()
    }

    #[test]
    fn common_neighbours_take_turns() {
        assert_eq!(chosen(&links([1, 2, 4, 5]), 0), links([2, 4]));
        assert_eq!(chosen(&links([1, 2, 4, 5]), 1), links([1, 5]));
        assert_eq!(chosen(&links([1, 3]), 2), links([1, 3]), "two at least");
        assert_eq!(chosen(&links([2, 3, 5]), 2), links([2, 3]));
        assert_eq!(chosen(&links([7]), 2), links([7]));
        assert_eq!(chosen(&[], u32::MAX), []);
    }

    #[test]
    fn who_stays_has_its_turn_within_two_rounds_whoever_goes() {
        let mut common = links(10..30);
        for round in 0..10 {
            let mut asked = chosen(&common, round);
            common.retain(|link| link.0 % 10 != round);
            asked.extend(chosen(&common, round + 1));
            assert!(common.iter().all(|link| asked.contains(link)), "{round}: {asked:?}");
        }
    }

    #[test]
    fn a_round_asks_half_of_many_and_sixteen_at_most() {
        for (common, asked, rounds) in [(8, 4, 2), (32, 16, 2), (33, 16, 4), (64, 16, 4), (100, 16, 8)] {
            let common = links(0..common);
            let turns: Vec<_> = (0..rounds).map(|round| chosen(&common, round)).collect();
            assert!(
                turns.iter().all(|turn| turn.len() >= asked && turn.len() <= COPIES),
                "{turns:?}"
            );
            assert!(common.iter().all(|link| turns.concat().contains(link)), "{turns:?}");
        }
    }
}

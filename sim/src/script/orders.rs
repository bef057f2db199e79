//! What a script's applications order: groups that are created, signalled, checked, decided about, joined, left and closed.

use fatebound_machine::Command;
use fatebound_machine::fng::{self, Ticket};
use fatebound_machine::overlay::{PeerId, directory};

use super::conditions::Condition;
use super::stage::{PATIENCE, Play, group_numbered};
use super::words::Words;
use crate::world::World;
use crate::{GroupId, PeerIndex};

fn name(words: &mut Words<'_>) -> Result<directory::Name, String> {
    Ok(directory::Name::new(directory::Kind::TEXT, words.next("a name")?))
}

impl Play {
    /// `group g1 0 3 4`: p0 creates it with p3 and p4, and its answer is waited for. `create`: it is not. `tag t`, `admit open`
    /// (or `members`, `listed 5 6`) and `stranger` may follow.
    pub(super) fn group(&mut self, words: &mut Words<'_>, wait: bool) -> Result<(), String> {
        let number = words.group()?;
        let next = self.record.get_mut().tracer.groups() + 1;
        if number != next {
            return Err(format!("the next group is g{next}"));
        }
        let root = self.peer(words)?;
        let members = self.members(words)?;
        let tag = if words.take("tag") {
            Some(words.next("a tag")?.to_owned())
        } else {
            None
        };
        let admit = if words.take("admit") {
            self.door(words)?
        } else {
            fng::Admit::Ask
        };
        let answered = self.create(root, members, tag, admit);
        self.catch_up();
        if wait {
            self.wait_for(&answered, PATIENCE)
        } else {
            Ok(())
        }
    }

    fn door(&mut self, words: &mut Words<'_>) -> Result<fng::Admit, String> {
        const DOORS: &str = "`ask`, `open`, `members` or `listed P…`";
        match words.next(DOORS)? {
            "ask" => Ok(fng::Admit::Ask),
            "open" => Ok(fng::Admit::Open),
            "members" => Ok(fng::Admit::Members),
            "listed" => {
                let listed = words.peers()?;
                Ok(fng::Admit::Listed(
                    listed.into_iter().map(|peer| self.world.id(peer)).collect(),
                ))
            }
            word => Err(format!("expected {DOORS}, found `{word}`")),
        }
    }

    fn members(&mut self, words: &mut Words<'_>) -> Result<Vec<PeerId>, String> {
        let mut members = Vec::new();
        while words
            .peek()
            .is_some_and(|word| !["tag", "admit", "every"].contains(&word))
        {
            members.push(if words.take("stranger") {
                self.world.stranger()
            } else {
                self.world.id(self.peer(words)?)
            });
        }
        Ok(members)
    }

    /// Orders a creation; returns what holds when the root has answered.
    fn create(&mut self, root: PeerIndex, members: Vec<PeerId>, tag: Option<String>, admit: fng::Admit) -> Condition {
        self.tickets += 1;
        let create = fng::Command::Create {
            ticket: Ticket(self.tickets),
            members,
            tag,
            state: Vec::new(),
            timeout: None,
            admit,
        };
        self.world.command(root, Command::Group(create));
        Condition::Answered {
            root,
            ticket: self.tickets,
        }
    }

    /// `groups 1000 0 3`: p0 creates so many groups with p3, one after the other.
    pub(super) fn groups(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let count: usize = words.number("how many groups")?;
        let root = self.peer(words)?;
        let members = self.members(words)?;
        for _ in 0..count {
            let answered = self.create(root, members.clone(), None, fng::Admit::Ask);
            self.wait_for(&answered, PATIENCE)?;
        }
        Ok(())
    }

    /// `churn 2 3 every 40ms for 10s`: p2 creates a group with p3 and signals it, again and again: so their link changes all the time.
    pub(super) fn churn(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let root = self.peer(words)?;
        let members = self.members(words)?;
        words.keyword("every")?;
        let pause = words.duration()?;
        words.keyword("for")?;
        let end = self.world.now() + words.duration()?;
        while self.world.now() < end {
            self.create(root, members.clone(), None, fng::Admit::Ask);
            self.catch_up();
            let newest = self.record.get_mut().tracer.groups();
            self.traced(pause / 2, |_, _| false);
            let group = group_numbered(&self.record.get_mut().tracer, newest)?;
            self.world.signal(root, &group);
            self.traced(pause / 2, |_, _| false);
        }
        Ok(())
    }

    /// `publish 3 db 1.0`: p3 publishes this name with this order; `signers 4 5`: who else may replace it; `dissolved`: as a tombstone.
    pub(super) fn publish(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (peer, name) = (self.peer(words)?, name(words)?);
        let order = words.next("an order such as 1.0")?;
        let parts = order
            .split_once('.')
            .and_then(|(first, second)| Some((first.parse().ok()?, second.parse().ok()?)));
        let (incarnation, view) = parts.ok_or_else(|| format!("expected an order such as 1.0, found `{order}`"))?;
        let tombstone = words.take("dissolved");
        let signers = if words.take("signers") {
            words.peers()?
        } else {
            Vec::new()
        };
        let publication = directory::Publication {
            name,
            order: directory::Order { incarnation, view },
            signers: signers.iter().map(|signer| self.world.id(*signer)).collect(),
            tombstone,
            body: Vec::new(),
        };
        let ticket = self.name_ticket();
        self.world.command(
            peer,
            Command::Directory(directory::Command::Publish { ticket, publication }),
        );
        Ok(())
    }

    /// `find 5 db`: p5 looks the name up.
    pub(super) fn find(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (peer, name, ticket) = (self.peer(words)?, name(words)?, self.name_ticket());
        self.world
            .command(peer, Command::Directory(directory::Command::Find { ticket, name }));
        Ok(())
    }

    /// `claim 5 db`: p5 claims the name.
    pub(super) fn claim(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (peer, name, ticket) = (self.peer(words)?, name(words)?, self.name_ticket());
        self.world
            .command(peer, Command::Directory(directory::Command::Claim { ticket, name }));
        Ok(())
    }

    fn name_ticket(&mut self) -> directory::Ticket {
        self.tickets += 1;
        directory::Ticket(self.tickets)
    }

    pub(super) fn check(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.about_group(words, |world, peer, group| {
            let check = fng::Command::Check { ticket, group: *group };
            world.command(peer, Command::Group(check));
        })
    }

    /// `accept 3 g1`: p3 accepts an invitation; `accept 0 g1 for 5`: p0 lets p5 in.
    pub(super) fn decide(&mut self, words: &mut Words<'_>, text: Option<&str>) -> Result<(), String> {
        let refusal = text.map(|text| fng::Refusal::Declined { text: text.to_owned() });
        let root = self.peer(words)?;
        let group = words.group()?;
        let group = group_numbered(&self.record.get_mut().tracer, group)?;
        let decide = if words.take("for") {
            let peer = self.peer(words)?;
            let peer = self.world.id(peer);
            fng::Command::Admit { group, peer, refusal }
        } else {
            fng::Command::Decide { group, refusal }
        };
        self.world.command(root, Command::Group(decide));
        Ok(())
    }

    /// `join 3 5 g1`, `observe 3 g1`: these peers want to come in, all at the same moment.
    pub(super) fn join(&mut self, words: &mut Words<'_>, observe: bool) -> Result<(), String> {
        self.each(words, |ticket, group| fng::Command::Join {
            ticket,
            group,
            observe,
            timeout: None,
        })
    }

    /// `leave 3 5 g1`: these peers want to go; `close 0 g1`: the root does, which ends the group.
    pub(super) fn leave(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        self.each(words, |ticket, group| fng::Command::Leave { ticket, group })
    }

    fn each(&mut self, words: &mut Words<'_>, command: impl Fn(Ticket, GroupId) -> fng::Command) -> Result<(), String> {
        let peers = words.peers()?;
        let number = words.group()?;
        let group = group_numbered(&self.record.get_mut().tracer, number)?;
        for peer in peers {
            self.known(peer)?;
            self.tickets += 1;
            self.world
                .command(peer, Command::Group(command(Ticket(self.tickets), group)));
        }
        Ok(())
    }

    /// `signal 3 g1`; `signal 3 g2..g40`: one after the other, at the same moment.
    pub(super) fn signal(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let peer = self.peer(words)?;
        for number in words.groups()? {
            let group = group_numbered(&self.record.get_mut().tracer, number)?;
            self.world.signal(peer, &group);
        }
        Ok(())
    }

    pub(super) fn about_group(
        &mut self,
        words: &mut Words<'_>,
        act: impl FnOnce(&mut World, PeerIndex, &GroupId),
    ) -> Result<(), String> {
        let peer = self.peer(words)?;
        let number = words.group()?;
        let group = group_numbered(&self.record.get_mut().tracer, number)?;
        act(&mut self.world, peer, &group);
        Ok(())
    }
}

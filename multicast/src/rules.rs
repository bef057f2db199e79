//! Which datagrams are carried, from where to where: a file of rules, of which the first that fits counts (M3). Nothing is carried without one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::network::NetworkId;
use crate::packet::Packet;

/// Rules in one file at most.
pub const MAX_RULES: usize = 64;
/// Groups in all rules of a file at most: each is joined, and a host that has joined a group tells its routers so.
pub const MAX_GROUPS: usize = 256;
/// Longest file.
pub const MAX_FILE: usize = 64 * 1024;

/// What is wrong with a file of rules, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct RulesError {
    /// In which line, from 1.
    pub line: usize,
    /// What.
    pub message: String,
}

/// The rules of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    rules: Vec<Rule>,
    /// Interfaces that take part; without any, all that can.
    pub interfaces: Vec<String>,
    /// Members of a network beside its leader that overhear what it does, so that each can go on where it stopped.
    pub standbys: usize,
    /// Whoever has not run for longer believes nothing until it has asked its group.
    pub lease: Duration,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    groups: BTreeSet<Ipv4Addr>,
    ports: RangeInclusive<u16>,
    from: Networks,
    to: Networks,
    /// What becomes of the time to live.
    pub ttl: Ttl,
    /// Bits a second that each network may send by this rule.
    pub rate: Option<u64>,
}

/// What becomes of a datagram's time to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// One less, as at any router; a datagram that has no more than one goes no further.
    #[default]
    Decrement,
    /// As it is.
    Keep,
    /// This.
    Set(u8),
}

impl Ttl {
    /// What a datagram with this time to live goes on with, if it goes on.
    pub fn after(self, ttl: u8) -> Option<u8> {
        match self {
            Ttl::Decrement => ttl.checked_sub(1).filter(|&left| left > 0),
            Ttl::Keep => Some(ttl).filter(|&left| left > 0),
            Ttl::Set(ttl) => Some(ttl),
        }
    }
}

/// Some networks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Networks {
    All,
    These(BTreeSet<NetworkId>),
}

impl Networks {
    fn have(&self, network: NetworkId) -> bool {
        match self {
            Networks::All => true,
            Networks::These(these) => these.contains(&network),
        }
    }
}

impl Rules {
    /// The only rule that fits a datagram of this network, if there is one, with its place in the file.
    pub fn find(&self, from: NetworkId, packet: &Packet) -> Option<(usize, &Rule)> {
        let (group, port) = (packet.destination(), packet.port());
        let fits = |rule: &Rule| rule.groups.contains(&group) && rule.ports.contains(&port) && rule.from.have(from);
        self.rules.iter().enumerate().find(|(_, rule)| fits(rule))
    }

    /// Whether a datagram of the first network goes into the second.
    pub fn carry(&self, from: NetworkId, to: NetworkId, packet: &Packet) -> bool {
        from != to && self.find(from, packet).is_some_and(|(_, rule)| rule.to.have(to))
    }

    /// The groups that have to be heard.
    pub fn groups(&self) -> BTreeSet<Ipv4Addr> {
        self.rules.iter().flat_map(|rule| rule.groups.iter().copied()).collect()
    }

    /// The rules in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// Its groups.
    pub fn groups(&self) -> &BTreeSet<Ipv4Addr> {
        &self.groups
    }

    /// Its ports.
    pub fn ports(&self) -> &RangeInclusive<u16> {
        &self.ports
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    interfaces: Vec<String>,
    standbys: Option<toml::Spanned<usize>>,
    lease_ms: Option<toml::Spanned<u64>>,
    #[serde(default)]
    rule: Vec<toml::Spanned<RuleText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    preset: Option<toml::Spanned<String>>,
    groups: Option<toml::Spanned<Listed>>,
    ports: Option<toml::Spanned<PortsText>>,
    from: Option<toml::Spanned<Listed>>,
    to: Option<toml::Spanned<Listed>>,
    ttl: Option<toml::Spanned<TtlText>>,
    rate: Option<toml::Spanned<String>>,
}

/// One text, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum Listed {
    One(String),
    Many(Vec<String>),
}

impl Listed {
    fn texts(&self) -> &[String] {
        match self {
            Listed::One(text) => std::slice::from_ref(text),
            Listed::Many(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a port, or two as in \"5000-5999\"")]
enum PortsText {
    One(u16),
    Range(String),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"decrement\", \"keep\" or a number from 1 to 255")]
enum TtlText {
    Word(String),
    Number(u8),
}

/// Where in the text something is wrong, and what.
type Wrong = (usize, String);

impl FromStr for Rules {
    type Err = RulesError;

    /// Reads a file of rules.
    fn from_str(text: &str) -> Result<Rules, RulesError> {
        read(text).map_err(|(at, message)| RulesError {
            line: text.get(..at).unwrap_or(text).matches('\n').count() + 1,
            message,
        })
    }
}

fn read(text: &str) -> Result<Rules, Wrong> {
    if text.len() > MAX_FILE {
        return Err((0, format!("the file is longer than {MAX_FILE} bytes")));
    }
    let file: File = toml::from_str(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    if file.rule.is_empty() {
        return Err((0, "there is no [[rule]]: nothing would be carried".to_owned()));
    }
    if let Some(beyond) = file.rule.get(MAX_RULES) {
        return Err((beyond.span().start, format!("more than {MAX_RULES} rules")));
    }
    let within = |value: Option<toml::Spanned<u64>>, name: &str, range: RangeInclusive<u64>, default: u64| match value {
        Some(value) if !range.contains(value.get_ref()) => {
            let (least, most) = (range.start(), range.end());
            Err((value.span().start, format!("{name} is from {least} to {most}")))
        }
        value => Ok(value.map_or(default, toml::Spanned::into_inner)),
    };
    let standbys = file.standbys.map(|value| {
        let span = value.span();
        toml::Spanned::new(span, value.into_inner() as u64)
    });
    let rules = Rules {
        interfaces: file.interfaces,
        standbys: within(standbys, "standbys", 1..=8, 2)? as usize,
        lease: Duration::from_millis(within(file.lease_ms, "lease-ms", 50..=10_000, 500)?),
        rules: file.rule.iter().map(rule).collect::<Result<_, _>>()?,
    };
    if rules.groups().len() > MAX_GROUPS {
        return Err((0, format!("the rules name more than {MAX_GROUPS} groups")));
    }
    Ok(rules)
}

fn rule(text: &toml::Spanned<RuleText>) -> Result<Rule, Wrong> {
    let at = text.span().start;
    let text = text.get_ref();
    let mut rule = match (&text.preset, &text.groups) {
        (Some(preset), None) => self::preset(preset.get_ref()).map_err(|message| (preset.span().start, message))?,
        (None, Some(listed)) => Rule::of(groups(listed.get_ref()).map_err(|message| (listed.span().start, message))?),
        (Some(preset), Some(_)) => return Err((preset.span().start, "a preset names its groups itself".to_owned())),
        (None, None) => return Err((at, "a rule needs groups, or a preset".to_owned())),
    };
    if let Some(value) = &text.ports {
        rule.ports = ports(value.get_ref()).map_err(|message| (value.span().start, message))?;
    }
    if let Some(value) = &text.from {
        rule.from = networks(value.get_ref()).map_err(|message| (value.span().start, message))?;
    }
    if let Some(value) = &text.to {
        rule.to = networks(value.get_ref()).map_err(|message| (value.span().start, message))?;
    }
    if let Some(value) = &text.ttl {
        rule.ttl = ttl(value.get_ref()).map_err(|message| (value.span().start, message))?;
    }
    if let Some(value) = &text.rate {
        rule.rate = Some(rate(value.get_ref()).map_err(|message| (value.span().start, message))?);
    }
    Ok(rule)
}

impl Rule {
    fn of(groups: BTreeSet<Ipv4Addr>) -> Rule {
        Rule {
            groups,
            ports: 0..=u16::MAX,
            from: Networks::All,
            to: Networks::All,
            ttl: Ttl::default(),
            rate: None,
        }
    }
}

/// What is known by a name: groups, ports, and what its receivers want of the time to live.
fn preset(name: &str) -> Result<Rule, String> {
    let (group, ports, ttl) = match name {
        // RFC 6762: link-local, and receivers may insist on 255.
        "mdns" => ([224, 0, 0, 251], 5353..=5353, Ttl::Keep),
        // UPnP: senders use 2 to 4, some 1.
        "ssdp" => ([239, 255, 255, 250], 1900..=1900, Ttl::Set(4)),
        // WS-Discovery: 1 in most implementations.
        "wsd" => ([239, 255, 255, 250], 3702..=3702, Ttl::Set(4)),
        // The discovery of ROS 2 (DDS-RTPS): ports 7400 + 250 × domain.
        "ros2" => ([239, 255, 0, 1], 7400..=65535, Ttl::Set(4)),
        // Hazelcast's default discovery: 32.
        "hazelcast" => ([224, 2, 2, 3], 54327..=54327, Ttl::Decrement),
        _ => {
            return Err(format!(
                "no preset is called {name:?}: there are mdns, ssdp, wsd, ros2, hazelcast"
            ));
        }
    };
    let mut rule = Rule::of(BTreeSet::from([Ipv4Addr::from(group)]));
    (rule.ports, rule.ttl) = (ports, ttl);
    Ok(rule)
}

fn groups(listed: &Listed) -> Result<BTreeSet<Ipv4Addr>, String> {
    let mut groups = BTreeSet::new();
    for text in listed.texts() {
        let range = match text.parse::<Ipv4Addr>() {
            Ok(address) => NetworkId::of(address, 32),
            Err(_) => text.parse().ok(),
        };
        let range = range.ok_or_else(|| format!("{text:?} is no group and no range as in 239.77.0.0/28"))?;
        let first = u32::from(range.address());
        let count = 1u64 << (32 - range.length());
        if !range.address().is_multicast() || range.length() < 4 {
            return Err(format!("{text} is not multicast: that is 224.0.0.0 to 239.255.255.255"));
        }
        if range.address().octets()[..3] == [224, 0, 0] || count > 256 && range.contains(Ipv4Addr::new(224, 0, 0, 0)) {
            return Err(format!(
                "{text}: 224.0.0.0/24 belongs to each link alone; only presets cross it"
            ));
        }
        if count > MAX_GROUPS as u64 {
            return Err(format!(
                "{text} has {count} groups, and a file at most {MAX_GROUPS}: each has to be joined"
            ));
        }
        groups.extend((0..count as u32).map(|at| Ipv4Addr::from(first + at)));
    }
    if groups.is_empty() {
        return Err("no groups".to_owned());
    }
    Ok(groups)
}

fn ports(text: &PortsText) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "expected a port, or two as in \"5000-5999\"".to_owned();
    match text {
        PortsText::One(port) => Ok(*port..=*port),
        PortsText::Range(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let first: u16 = first.trim().parse().map_err(|_| wrong())?;
            let last: u16 = last.trim().parse().map_err(|_| wrong())?;
            if first > last {
                return Err(wrong());
            }
            Ok(first..=last)
        }
    }
}

fn networks(listed: &Listed) -> Result<Networks, String> {
    if listed.texts() == ["*"] {
        return Ok(Networks::All);
    }
    if listed.texts().is_empty() {
        return Err("no network is named: the rule would never carry anything".to_owned());
    }
    let network = |text: &String| text.parse().map_err(|error| format!("{text:?}: {error}"));
    listed
        .texts()
        .iter()
        .map(network)
        .collect::<Result<_, _>>()
        .map(Networks::These)
}

fn ttl(text: &TtlText) -> Result<Ttl, String> {
    match text {
        TtlText::Word(word) if word == "decrement" => Ok(Ttl::Decrement),
        TtlText::Word(word) if word == "keep" => Ok(Ttl::Keep),
        TtlText::Number(ttl) if *ttl > 0 => Ok(Ttl::Set(*ttl)),
        _ => Err("expected \"decrement\", \"keep\" or a number from 1 to 255".to_owned()),
    }
}

/// Bits a second.
fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no rate as in \"50 Mbit/s\" (bit/s, kbit/s, Mbit/s, Gbit/s)");
    let (number, unit) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let unit = match unit.trim() {
        "bit/s" => 1,
        "kbit/s" => 1_000,
        "Mbit/s" => 1_000_000,
        "Gbit/s" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).filter(|&rate| rate > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::raw;

    const A: &str = "10.1.0.0/24";
    const B: &str = "10.2.0.0/24";

    fn network(text: &str) -> NetworkId {
        text.parse().unwrap()
    }

    fn packet(group: [u8; 4], port: u16) -> Packet {
        Packet::parse(raw(
            (Ipv4Addr::new(10, 1, 0, 1), 9),
            (Ipv4Addr::from(group), port),
            5,
            b"x",
        ))
        .unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let text = r#"
            [[rule]]
            groups = "239.77.0.0/28"
            ports = "5000-5999"
            to = "10.2.0.0/24"
            ttl = 8
            [[rule]]
            groups = ["239.77.0.1", "239.5.5.5"]
            from = ["10.1.0.0/24"]
            rate = "50 Mbit/s"
        "#;
        let rules: Rules = text.parse().unwrap();
        let (first, rule) = rules.find(network(B), &packet([239, 77, 0, 1], 5000)).unwrap();
        assert_eq!((first, rule.ttl, rule.rate), (0, Ttl::Set(8), None));
        let (second, rule) = rules.find(network(A), &packet([239, 77, 0, 1], 6000)).unwrap();
        assert_eq!((second, rule.ttl, rule.rate), (1, Ttl::Decrement, Some(50_000_000)));
        assert!(rules.find(network(B), &packet([239, 77, 0, 1], 6000)).is_none());
        assert!(rules.find(network(A), &packet([239, 77, 0, 16], 5000)).is_none());
        assert_eq!(rules.groups().len(), 17);
    }

    #[test]
    fn zones_are_where_from_and_to_say() {
        let text = "[[rule]]\ngroups = \"239.5.5.5\"\nfrom = \"10.1.0.0/24\"\nto = \"10.2.0.0/24\"";
        let rules: Rules = text.parse().unwrap();
        let packet = packet([239, 5, 5, 5], 1);
        assert!(rules.carry(network(A), network(B), &packet));
        assert!(!rules.carry(network(B), network(A), &packet));
        assert!(!rules.carry(network(A), network("10.3.0.0/24"), &packet));
        assert!(!rules.carry(network(A), network(A), &packet));
    }

    #[test]
    fn presets_know_what_is_link_local() {
        let rules: Rules = "[[rule]]\npreset = \"mdns\"".parse().unwrap();
        let (_, rule) = rules.find(network(A), &packet([224, 0, 0, 251], 5353)).unwrap();
        assert_eq!(rule.ttl.after(255), Some(255));
        for name in ["mdns", "ssdp", "wsd", "ros2", "hazelcast"] {
            assert!(
                format!("[[rule]]\npreset = {name:?}").parse::<Rules>().is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("", 1, "no [[rule]]"),
            ("[[rule]]\ngroups = \"10.0.0.1\"", 2, "not multicast"),
            ("\n\n[[rule]]\nports = 5", 3, "needs groups"),
            ("[[rule]]\ngroups = \"224.0.0.5\"", 2, "each link alone"),
            ("[[rule]]\ngroups = \"239.0.0.0/16\"", 2, "65536 groups"),
            ("[[rule]]\ngroups = \"224.0.0.0/4\"", 2, "each link alone"),
            (
                "[[rule]]\ngroups = \"239.1.1.1\"\nports = \"9-5\"",
                3,
                "expected a port",
            ),
            ("[[rule]]\ngroups = \"239.1.1.1\"\nports = 70000", 3, "expected a port"),
            ("[[rule]]\ngroups = \"239.1.1.1\"\nttl = 0", 3, "decrement"),
            ("[[rule]]\ngroups = \"239.1.1.1\"\nrate = \"fast\"", 3, "no rate"),
            (
                "[[rule]]\ngroups = \"239.1.1.1\"\nfrom = \"10.1.0.1/24\"",
                3,
                "host bits",
            ),
            ("[[rule]]\ngroups = \"239.1.1.1\"\ncolour = 1", 3, "unknown field"),
            ("[[rule]]\npreset = \"x\"", 2, "no preset"),
            ("standbys = 9\n[[rule]]\npreset = \"mdns\"", 1, "from 1 to 8"),
            ("a = [\n", 1, "unclosed"),
        ];
        for (text, line, words) in cases {
            let error = text.parse::<Rules>().unwrap_err();
            assert!(error.message.contains(words), "{text:?}: {error}");
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        let many = "[[rule]]\npreset = \"mdns\"\n".repeat(MAX_RULES + 1);
        let error = many.parse::<Rules>().unwrap_err();
        assert_eq!(
            (error.line, error.message.as_str()),
            (2 * MAX_RULES + 1, "more than 64 rules")
        );
        let wide = "[[rule]]\ngroups = [\"239.1.1.0/25\", \"239.1.2.0/25\", \"239.1.3.3\"]";
        assert!(
            wide.parse::<Rules>()
                .unwrap_err()
                .message
                .contains("more than 256 groups")
        );
        assert!(" ".repeat(MAX_FILE + 1).parse::<Rules>().is_err());
    }

    #[test]
    fn a_datagram_that_has_no_hops_left_goes_no_further() {
        assert_eq!([0, 1, 2].map(|ttl| Ttl::Decrement.after(ttl)), [None, None, Some(1)]);
        assert_eq!([0, 1].map(|ttl| Ttl::Keep.after(ttl)), [None, Some(1)]);
        assert_eq!(Ttl::Set(8).after(1), Some(8));
    }
}

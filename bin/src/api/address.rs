//! Where the API is served: a Unix socket, or a TCP port.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place where the API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Port 0 picks a free one.
        port: u16,
    },
}

impl FromStr for ApiAddress {
    type Err = String;

    /// `unix:PATH`, `HOST:PORT`, `[V6]:PORT`, or the latter two with `http://` before them.
    fn from_str(text: &str) -> Result<ApiAddress, String> {
        const EXPECTED: &str = "expected unix:PATH, HOST:PORT, or http://HOST:PORT";
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("the path is missing after unix:".to_owned()),
                path => Ok(ApiAddress::Unix(PathBuf::from(path))),
            };
        }
        let place = text.strip_prefix("http://").unwrap_or(text);
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = place.rsplit_once(':').ok_or(EXPECTED)?;
        let port = port.parse().map_err(|_| format!("{port:?} is no port; {EXPECTED}"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => v6,
            Some(_) => return Err("no IPv6 address is between the brackets".to_owned()),
            None => host,
        };
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || bracketed.is_none() && !host.chars().all(sound) {
            return Err(EXPECTED.to_owned());
        }
        Ok(ApiAddress::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ApiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            ApiAddress::Tcp { host, port } if host.contains(':') => write!(f, "http://[{host}]:{port}"),
            ApiAddress::Tcp { host, port } => write!(f, "http://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<ApiAddress, String> {
        let host = host.to_owned();
        Ok(ApiAddress::Tcp { host, port })
    }

    #[test]
    fn a_place_is_a_socket_or_a_port() {
        assert_eq!("unix:/x".parse(), Ok(ApiAddress::Unix(PathBuf::from("/x"))));
        assert_eq!("127.0.0.1:80".parse(), tcp("127.0.0.1", 80));
        assert!("http://node.example:7:8".parse::<ApiAddress>().is_err());
        assert_eq!("http://node.example:78/".parse(), tcp("node.example", 78));
        assert_eq!("[::1]:0".parse(), tcp("::1", 0));
        for text in ["unix:/x", "http://[::1]:9", "http://localhost:9"] {
            assert_eq!(text.parse::<ApiAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "unix:",
            "/x",
            "localhost",
            ":80",
            "[x]:80",
            "a b:80",
            "host:http",
            "https://x:1",
            "user@host:1",
            "x:70000",
        ] {
            assert!(text.parse::<ApiAddress>().is_err(), "{text}");
        }
    }
}

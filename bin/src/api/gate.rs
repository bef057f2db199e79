//! Who comes in over TCP: whoever has the token, and calls this node by a name that is its own.
//!
//! A page in a browser can make a name of its own lead to this machine and then talk to it as to its own server (DNS rebinding). Such a request names
//! that name as its `Host`, and is refused whatever else it says.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Request};

use super::problem::{Kind, Problem};
use super::token::Token;

/// What is asked of every request over TCP.
#[derive(Clone, Debug)]
pub struct Gate {
    token: Token,
    /// Names by which the node may be called, in lower case.
    names: Vec<String>,
}

impl Gate {
    /// A gate with this token. The node may be called `localhost`, by the address at which it was reached, and by these names.
    pub fn new(token: Token, names: &[String]) -> Gate {
        Gate {
            token,
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether this request, which has reached the node at this address, may come in.
    ///
    /// # Errors
    /// The problem that answers it.
    pub fn pass<B>(&self, request: &Request<B>, reached: IpAddr) -> Result<(), Problem> {
        let headers = request.headers();
        // A target in absolute form has the last word on the host (RFC 9112, 3.2.2).
        let target = request.uri().authority().map(Authority::host);
        let named = match target {
            Some(host) => Some(host.to_owned()),
            None => single(headers).and_then(|host| Some(host.parse::<Authority>().ok()?.host().to_owned())),
        };
        let named = named.ok_or_else(|| forbidden("the request does not say which host it means"))?;
        if !self.is_ours(&named, reached) {
            let words = format!("this node is not called {named} (a further name is allowed with --api-host)");
            return Err(forbidden(&words));
        }
        match self.has_token(headers) {
            true => Ok(()),
            false => Err(Problem::new(
                Kind::Unauthorized,
                "the API over TCP wants `Authorization: Bearer` and the token of --api-token-file",
            )),
        }
    }

    fn is_ours(&self, host: &str, reached: IpAddr) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return address.to_canonical() == reached.to_canonical();
        }
        let host = host.to_ascii_lowercase();
        host == "localhost" || self.names.contains(&host)
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let (scheme, token) = value.as_bytes().split_at(value.len().min(7));
        scheme.eq_ignore_ascii_case(b"bearer ") && self.token.is(token.trim_ascii())
    }
}

/// The host, if it is named exactly once.
fn single(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?;
    hosts.next().is_none().then_some(host)?.to_str().ok()
}

fn forbidden(words: &str) -> Problem {
    Problem::new(Kind::ForbiddenHost, words)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn gate() -> Gate {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).mode(0o600).open(&path).unwrap();
        file.write_all(b"0123456789abcdef").unwrap();
        Gate::new(Token::read(&path).unwrap(), &["Node.example".to_owned()])
    }

    fn passes(uri: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        gate()
            .pass(&request, "192.0.2.7".parse().unwrap())
            .map_err(|problem| problem.status)
    }

    const GOOD: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");

    #[test]
    fn the_host_is_a_name_of_ours() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "192.0.2.7:1",
            "node.example",
            "NODE.example:9",
            "[::ffff:192.0.2.7]:1",
        ] {
            assert_eq!(passes("/", &[("host", host), GOOD]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1",
            "192.0.2.8",
            "localhost.evil.example",
            "node.example.",
            "",
            "a b",
            "[::1]",
        ] {
            assert_eq!(passes("/", &[("host", host), GOOD]), Err(403), "{host}");
        }
        assert_eq!(passes("/", &[GOOD]), Err(403));
        assert_eq!(
            passes("/", &[("host", "localhost"), ("host", "localhost"), GOOD]),
            Err(403)
        );
        assert_eq!(passes("http://evil.example/", &[("host", "localhost"), GOOD]), Err(403));
        assert_eq!(passes("http://localhost/", &[GOOD]), Ok(()));
    }

    #[test]
    fn the_token_is_ours() {
        let host = ("host", "localhost");
        assert_eq!(
            passes("/", &[host, ("authorization", "bearer  0123456789abcdef")]),
            Ok(())
        );
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "Bearer 0123456789abcdefg",
        ] {
            assert_eq!(passes("/", &[host, ("authorization", wrong)]), Err(401), "{wrong}");
        }
        assert_eq!(passes("/", &[host]), Err(401));
        assert_eq!(passes("/", &[host, GOOD, GOOD]), Err(401));
    }
}

//! `directory get | publish`.

use std::fmt::Write as _;

use super::Api;
use super::status::label;
use crate::api::directory::{NameInfo, PublishRequest, Published};
use crate::cli::ClientArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Output, Table};

/// Bytes of a name at most.
const MAX_NAME: usize = 128;

/// `fatebound directory get`
pub async fn get(name: &str, args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let found: NameInfo = Api::of(args)?.get(&path(name)?).await?;
    if output.is_json() {
        return output.object(&found).map(|()| Exit::Done);
    }
    let mut table = Table::new(&[]);
    table.row([label("name"), found.name.clone().into()]);
    table.row([label("publisher"), found.publisher.clone().into()]);
    table.row([label("order"), format!("{}.{}", found.incarnation, found.view).into()]);
    match (found.text, found.base64) {
        (Some(text), _) => table.row([label("text"), text.into()]),
        (None, base64) => table.row([label("base64"), base64.unwrap_or_default().into()]),
    }
    output.table(&table).map(|()| Exit::Done)
}

/// `fatebound directory publish`
pub async fn publish(name: &str, text: &str, args: &ClientArgs) -> Outcome {
    let output = Output::new(args.json);
    let request = PublishRequest { text: text.to_owned() };
    let published: Published = Api::of(args)?.put(&path(name)?, &request).await?;
    if output.is_json() {
        return output.object(&published).map(|()| Exit::Done);
    }
    output
        .line(&format!("published {}", published.name))
        .map(|()| Exit::Done)
}

/// The API's path of a name: any text, so whatever a path could mistake is escaped.
fn path(name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Failure::usage(format!("a name has 1 to {MAX_NAME} bytes")));
    }
    Ok(part_of_path("/v1/directory/", name))
}

/// A path that ends with this name, whatever characters it has.
pub fn part_of_path(before: &str, name: &str) -> String {
    let mut path = before.to_owned();
    for byte in name.bytes() {
        // A dot alone would be a path of its own, `.` or `..`.
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => path.push(char::from(byte)),
            _ => drop(write!(path, "%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_part_of_a_path() {
        assert_eq!(path("db-1").unwrap(), "/v1/directory/db-1");
        assert_eq!(path("a/b ?").unwrap(), "/v1/directory/a%2Fb%20%3F");
        assert_eq!(path("é").unwrap(), "/v1/directory/%C3%A9");
        for name in ["", &"x".repeat(129)] {
            assert_eq!(path(name).unwrap_err().exit, Exit::Usage);
        }
    }
}

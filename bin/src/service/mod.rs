//! `fatebound service …`: services of programs that know nothing of this.
//!
//! The node follows the service (`local`), and tells a client that holds a stream what its role is (`api`); the client runs the command (`run`), or
//! connects others to it (`proxy`).

pub mod api;
mod hook;
mod listing;
pub mod local;
mod model;
mod proxy;
mod run;

use crate::cli::ServiceCommand;
use crate::client::directory::part_of_path;
use crate::exit::{Failure, Outcome};

/// Bytes of a name at most: its group's name has eight more.
const MAX_NAME: usize = 120;

/// Runs one of them.
pub async fn command(command: ServiceCommand) -> Outcome {
    match command {
        ServiceCommand::List(args) => listing::list(&args).await,
        ServiceCommand::Show(args) => listing::show(&args).await,
        ServiceCommand::Run(args) => run::run(&args).await,
        ServiceCommand::Switchover(args) => listing::switchover(&args).await,
        ServiceCommand::Proxy(args) => proxy::proxy(&args).await,
    }
}

/// The API's path of a service.
fn path(name: &str) -> Result<String, Failure> {
    if name.is_empty() || name.len() > MAX_NAME {
        let length = name.len();
        return Err(Failure::usage(format!(
            "the name of a service has 1 to {MAX_NAME} bytes, not {length}"
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Failure::usage("the name of a service has no control characters"));
    }
    Ok(part_of_path("/v1/services/", name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_name_that_is_none_is_bad_usage() {
        assert_eq!(path("web/1").unwrap(), "/v1/services/web%2F1");
        for name in ["", &"x".repeat(121), "a\u{7}"] {
            assert_eq!(path(name).unwrap_err().exit, Exit::Usage);
        }
    }
}

//! The program `fatebound`: a node, and the clients of its local API.

#![forbid(unsafe_code)]

mod api;
mod cli;
mod client;
mod demo;
#[cfg(target_os = "linux")]
mod exec;
#[cfg(not(target_os = "linux"))]
#[path = "exec/elsewhere.rs"]
mod exec;
mod exit;
mod id;
mod large;
mod local;
mod logging;
mod multicast;
mod node;
mod output;
mod paths;
mod run;
mod service;
mod shown;
mod signals;
mod sim;
mod stopping;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => run::run(cli),
        Err(error) => run::misread(&error),
    }
}

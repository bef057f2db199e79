//! `exec` where there is no Linux: it needs what only Linux has, processes that inherit the children of their descendants.

use std::process::ExitCode;

use crate::cli::{ExecArgs, ExecStubArgs};
use crate::exit::{Failure, Outcome};

/// `fatebound exec`
pub fn exec(_: &ExecArgs) -> ExitCode {
    nowhere().report()
}

/// `fatebound exec-stub`
pub fn stub(_: &ExecStubArgs) -> Outcome {
    Err(nowhere())
}

pub mod guardian {
    /// `fatebound exec-guardian`
    pub fn guardian() -> super::Outcome {
        Err(super::nowhere())
    }
}

pub mod namespace {
    /// `fatebound exec-launcher`
    pub fn launcher(_: i32) -> super::Outcome {
        Err(super::nowhere())
    }
}

fn nowhere() -> Failure {
    Failure::error("exec runs on Linux only")
}

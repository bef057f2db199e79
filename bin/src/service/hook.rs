//! The role hook: run once for each change, one at a time and in order, beside the command.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::exit::complain;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Changes that may wait for it; a further one is not told, which is said.
const WAITING: usize = 64;

/// A hook that is told changes until this is dropped.
pub struct Hook {
    changes: Option<mpsc::Sender<(String, Option<String>)>>,
    running: Option<JoinHandle<()>>,
}

impl Hook {
    pub fn new(command: Option<&String>, service: &str) -> Hook {
        let Some(command) = command.cloned() else {
            return Hook {
                changes: None,
                running: None,
            };
        };
        let service = service.to_owned();
        let (changes, mut changes_out) = mpsc::channel::<(String, Option<String>)>(WAITING);
        let running = tokio::spawn(async move {
            while let Some((role, epoch)) = changes_out.recv().await {
                call(&command, &service, &role, epoch.as_deref()).await;
            }
        });
        Hook {
            changes: Some(changes),
            running: Some(running),
        }
    }

    /// Tells it.
    pub fn tell(&self, role: &str, epoch: Option<&str>) {
        if let Some(changes) = &self.changes
            && changes.try_send((role.to_owned(), epoch.map(str::to_owned))).is_err()
        {
            complain(format_args!(
                "fatebound: the role hook is {WAITING} changes behind: it is not told of {role}"
            ));
        }
    }

    /// Waits until it was told all.
    pub async fn finish(mut self) {
        self.changes = None;
        if let Some(running) = self.running.take() {
            let _ = running.await;
        }
    }
}

async fn call(command: &str, service: &str, role: &str, epoch: Option<&str>) {
    let mut hook = Command::new("/bin/sh");
    hook.arg("-c").arg(command);
    hook.env("FATEBOUND_SERVICE", service).env("FATEBOUND_ROLE", role);
    match epoch {
        Some(epoch) => hook.env("FATEBOUND_EPOCH", epoch),
        None => hook.env_remove("FATEBOUND_EPOCH"),
    };
    let run = hook.stdin(Stdio::null()).kill_on_drop(true).status();
    let words = match tokio::time::timeout(LIMIT, run).await {
        Ok(Ok(status)) if status.success() => return,
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {}: killed", humantime::format_duration(LIMIT)),
    };
    complain(format_args!("fatebound: the role hook for {role}: {words}"));
}

//! `exec` on a real terminal, under a shell with job control.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::started::{has, until};

/// A shell on a terminal; killed when dropped.
struct Shell {
    shell: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    /// The terminal is gone with this.
    _terminal: Box<dyn MasterPty + Send>,
}

impl Shell {
    fn start() -> Shell {
        let size = PtySize {
            rows: 50,
            cols: 150,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new("bash");
        command.args(["--norc", "--noprofile", "-i"]);
        command.env("PS1", "ready> ");
        command.env("FATEBOUND", env!("CARGO_BIN_EXE_fatebound"));
        command.env("HISTFILE", "");
        let shell = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let cells = |number| NonZeroU16::new(number).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(50), cells(150), 0)));
        let (shown, mut output) = (screen.clone(), pair.master.try_clone_reader().unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..length]);
            }
        });
        let mut shell = Shell {
            shell,
            keyboard: pair.master.take_writer().unwrap(),
            screen,
            _terminal: pair.master,
        };
        shell.shows("ready>");
        shell
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    fn contents(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until a line of the screen begins with this, be it behind a prompt or a key that the terminal shows.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let mut last = String::new();
        until(&format!("{text} on the screen"), || {
            last = self.contents();
            last.lines().any(|line| {
                let said = line.trim_start_matches("ready> ").trim_start_matches("^C");
                line.starts_with(text) || said.starts_with(text)
            })
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- the screen:\n{}", self.contents());
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn the_command_has_the_keyboard() {
    if !has("bash") {
        return;
    }
    let mut shell = Shell::start();
    shell.types("$FATEBOUND exec --alone -- sh -c 'echo asking; read x; echo got:$x'; echo code:$?\n");
    shell.shows("asking");
    shell.types("hello\n");
    shell.shows("got:hello");
    shell.shows("code:0");
    // The shell has it again.
    shell.types("echo and:on\n");
    shell.shows("and:on");
}

#[test]
fn ctrl_c_reaches_the_command() {
    if !has("bash") {
        return;
    }
    let mut shell = Shell::start();
    shell.types("$FATEBOUND exec --alone -- sh -c 'trap \"echo caught; exit 9\" INT; echo begun; while :; do sleep 0.05; done'; echo code:$?\n");
    shell.shows("begun");
    shell.types("\x03");
    shell.shows("caught");
    shell.shows("code:9");
    shell.types("$FATEBOUND exec --alone -- sh -c 'echo start; exec sleep 1000'; echo end:$?\n");
    shell.shows("start");
    shell.types("\x03");
    shell.shows("end:130");
}

#[test]
fn ctrl_z_stops_the_job_and_fg_goes_on() {
    if !has("bash") {
        return;
    }
    let mut shell = Shell::start();
    shell.types("$FATEBOUND exec --alone -- sh -c 'echo asking; read x; echo got:$x; read y; echo and:$y'\n");
    shell.shows("asking");
    shell.types("\x1a");
    shell.shows("[1]+  Stopped");
    shell.types("echo shell:on\n");
    shell.shows("shell:on");
    shell.types("fg\n");
    until("the command to be in the foreground again", || {
        !shell
            .contents()
            .lines()
            .last()
            .unwrap_or_default()
            .starts_with("ready>")
    });
    shell.types("one\n");
    shell.shows("got:one");
    shell.types("two\n");
    shell.shows("and:two");
    shell.types("echo code:$?\n");
    shell.shows("code:0");
}

#[test]
fn in_the_background_it_does_not_take_the_keyboard() {
    if !has("bash") {
        return;
    }
    let mut shell = Shell::start();
    shell.types("$FATEBOUND exec --alone -- sh -c 'echo begun; read x; echo got:$x' &\n");
    shell.shows("begun");
    shell.types("echo shell:on\n");
    shell.shows("shell:on");
    // It wanted to read, which stops it, and the shell hears of it.
    until("the shell to hear of it", || {
        shell.types("jobs\n");
        shell.contents().contains("[1]+  Stopped")
    });
    shell.types("fg\n");
    until("the command to be in the foreground", || {
        !shell
            .contents()
            .lines()
            .last()
            .unwrap_or_default()
            .starts_with("ready>")
    });
    shell.types("hello\n");
    shell.shows("got:hello");
}

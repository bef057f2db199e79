//! Why a lock is not enough, and a gate is: two processes count in one file, one after the other, each while it holds the lock.
//!
//! The first one reads the count, and is stopped before it writes. The lock is passed on, the second one counts a hundred times and lets it go.
//! Then the first one goes on, and writes what it had meant to write.
//!
//! ```text
//! cargo run -p fatebound-gate --example two_holders              # the late write is refused, the count is 100
//! cargo run -p fatebound-gate --example two_holders -- --no-gate # the late write comes through, the count is 1: exit code 1
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, process};

use fatebound_gate::EpochGate;

/// The file and its gate, as a storage service would have them.
struct Counter {
    file: PathBuf,
    gate: Option<EpochGate>,
}

impl Counter {
    fn read(&self) -> Result<u64, Box<dyn Error>> {
        Ok(fs::read_to_string(&self.file)?.trim().parse()?)
    }

    fn write(&self, epoch: u64, count: u64) -> Result<(), Box<dyn Error>> {
        if let Some(gate) = &self.gate {
            gate.admit(epoch)?;
        }
        fs::write(&self.file, count.to_string())?;
        Ok(())
    }
}

fn play(file: &Path, with_gate: bool) -> Result<u64, Box<dyn Error>> {
    fs::write(file, "0")?;
    let counter = Counter {
        file: file.to_owned(),
        gate: with_gate.then(EpochGate::new),
    };
    let meant = counter.read()? + 1;
    println!("holder of epoch 1: has read 0, and is stopped");
    for _ in 0..100 {
        counter.write(2, counter.read()? + 1)?;
    }
    println!("holder of epoch 2: has counted to {}", counter.read()?);
    match counter.write(1, meant) {
        Ok(()) => println!("holder of epoch 1: goes on, and has written {meant}"),
        Err(why) => println!("holder of epoch 1: goes on, and is refused: {why}"),
    }
    counter.read()
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let with_gate = !env::args().any(|argument| argument == "--no-gate");
    let file = env::temp_dir().join(format!("two-holders-{}", process::id()));
    let count = play(&file, with_gate);
    let _ = fs::remove_file(&file);
    let count = count?;
    println!("the count is {count}");
    Ok(if count == 100 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

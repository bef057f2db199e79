//! `fatebound exec`, run as users, shells and service managers run it.
#![cfg(target_os = "linux")]

#[cfg(test)]
mod ends;
#[cfg(test)]
mod fate;
#[cfg(test)]
#[allow(dead_code)]
#[path = "../cli/home.rs"]
mod home;
#[cfg(test)]
mod started;
#[cfg(test)]
mod survivors;
#[cfg(test)]
mod terminal;

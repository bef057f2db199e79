//! `fatebound service`, as users and scripts run it: three nodes, a provider at each, and what happens when either are killed.

#[cfg(test)]
#[path = "../cli/home.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod home;
#[cfg(test)]
#[path = "../cli/http.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod http;
#[cfg(test)]
mod proxying;
#[cfg(test)]
mod running;
#[cfg(test)]
mod trio;

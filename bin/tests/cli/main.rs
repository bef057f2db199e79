//! The built program, run as users and scripts run it.

#[cfg(test)]
mod demo;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod holds;
#[cfg(test)]
mod home;
#[cfg(test)]
mod http;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod load;
#[cfg(test)]
mod multicast;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod pg;
#[cfg(test)]
mod places;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod state;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod times;
#[cfg(test)]
mod watching;

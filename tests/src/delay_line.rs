//! A network in which everything takes time: whatever a host sends comes out at the other host a given time later.
//!
//! Each host has a tun device instead of a cable. What its kernel sends there is read here, waits in the queue of its direction, and is
//! written to the tun device of the host that has the destination's address. Nothing overtakes anything in a direction. A queue holds
//! [`QUEUE`] packets; what comes beyond that is dropped, as a router does when its buffer is full, and so is what has no destination here.
//! Packets may be late when the machine is busy; none is early.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

/// Packets on their way in one direction between two hosts, at most: as many as Linux queues for a network card (`txqueuelen`).
const QUEUE: usize = 1000;

/// Room for one packet: more than the devices' MTU of 1500 bytes.
const PACKET: usize = 2048;

/// Which host has which address.
type Addresses = Arc<RwLock<HashMap<Ipv4Addr, usize>>>;

/// The line, at work on a thread of its own; ends with its value, and its devices with it.
pub(crate) struct DelayLine {
    devices: Vec<Arc<Tun>>,
    addresses: Addresses,
    _runtime: Runtime,
}

/// A packet, and when it is to come out.
struct Held {
    due: Instant,
    packet: Vec<u8>,
}

impl DelayLine {
    /// A line between so many hosts, and how long a packet takes from one to another.
    pub(crate) fn new(hosts: usize, delay: impl Fn(usize, usize) -> Duration) -> io::Result<DelayLine> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let context = runtime.enter();
        let devices: Vec<Arc<Tun>> = (0..hosts).map(|_| device()).collect::<io::Result<_>>()?;
        let addresses = Addresses::default();
        for (from, device) in devices.iter().enumerate() {
            let directions = devices.iter().enumerate().map(|(to, far)| {
                let (direction, held) = Direction::new(delay(from, to));
                let far = far.clone();
                // A host that is gone, or not there yet, takes nothing.
                runtime.spawn(hold(held, move |packet| drop(far.try_send(packet))));
                direction
            });
            runtime.spawn(sort(device.clone(), directions.collect(), addresses.clone()));
        }
        drop(context);
        Ok(DelayLine {
            devices,
            addresses,
            _runtime: runtime,
        })
    }

    /// The name of a host's device, in the network namespace in which it was made. Wherever it is moved, it remains an end of this line.
    pub(crate) fn device(&self, host: usize) -> &str {
        self.devices[host].name()
    }

    /// From now on the host has this address, and no other.
    pub(crate) fn has_address(&self, host: usize, address: Ipv4Addr) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, other| *other != host);
        addresses.insert(address, host);
    }
}

fn device() -> io::Result<Arc<Tun>> {
    let made = Tun::builder().build().map_err(io::Error::other)?;
    let device = made.into_iter().next();
    device
        .map(Arc::new)
        .ok_or_else(|| io::Error::other("no device was made"))
}

/// From one host to another.
struct Direction {
    delay: Duration,
    queue: Sender<Held>,
}

impl Direction {
    fn new(delay: Duration) -> (Direction, Receiver<Held>) {
        let (queue, held) = channel(QUEUE);
        (Direction { delay, queue }, held)
    }

    /// Says whether there was room.
    fn take(&self, packet: &[u8]) -> bool {
        let held = Held {
            due: Instant::now() + self.delay,
            packet: packet.to_vec(),
        };
        self.queue.try_send(held).is_ok()
    }
}

/// Reads what one host sends, and puts it on the direction where it belongs, until its device is gone.
async fn sort(device: Arc<Tun>, directions: Vec<Direction>, addresses: Addresses) {
    let mut buffer = [0; PACKET];
    while let Ok(length) = device.recv(&mut buffer).await {
        let packet = &buffer[..length];
        let known = |address| {
            let addresses = addresses.read().unwrap_or_else(PoisonError::into_inner);
            addresses.get(&address).copied()
        };
        if let Some(to) = destination(packet).and_then(known) {
            // A full buffer drops.
            directions[to].take(packet);
        }
    }
}

/// Delivers what comes out of one direction, each when it is due.
async fn hold(mut queue: Receiver<Held>, deliver: impl Fn(&[u8])) {
    while let Some(held) = queue.recv().await {
        sleep_until(held.due).await;
        deliver(&held.packet);
    }
}

/// Where an IPv4 packet goes. Kernels also send IPv6 by themselves, to find routers that are not there.
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    (packet[0] >> 4 == 4).then(|| address.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    /// Everything that has been put on the direction, as it comes out, and when.
    fn come_out(direction: Direction, held: Receiver<Held>) -> Vec<(Instant, Vec<u8>)> {
        let out = Mutex::new(Vec::new());
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        drop(direction);
        runtime.block_on(hold(held, |packet| {
            out.lock().expect("one thread").push((Instant::now(), packet.to_vec()));
        }));
        out.into_inner().expect("one thread")
    }

    #[test]
    fn packets_come_out_in_order_and_none_before_its_time() {
        let (direction, held) = Direction::new(DELAY);
        let sent: Vec<(Instant, Vec<u8>)> = (0..100).map(|n| (Instant::now(), vec![n])).collect();
        assert!(sent.iter().all(|(_, packet)| direction.take(packet)));
        let out = come_out(direction, held);
        assert_eq!(sent.len(), out.len());
        for ((sent, packet), (arrived, same)) in sent.iter().zip(&out) {
            assert_eq!(packet, same);
            assert!(*arrived >= *sent + DELAY, "{packet:?} is early");
        }
    }

    #[test]
    fn what_does_not_fit_into_the_buffer_is_dropped() {
        let (direction, held) = Direction::new(Duration::ZERO);
        assert!((0..QUEUE).all(|n| direction.take(&n.to_be_bytes())));
        assert!(!direction.take(b"one too many"));
        let out = come_out(direction, held);
        assert_eq!(out.len(), QUEUE);
        assert!(out.iter().all(|(_, packet)| packet != b"one too many"));
    }

    #[test]
    fn only_ipv4_packets_have_a_destination() {
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[16..].copy_from_slice(&[10, 77, 0, 3]);
        assert_eq!(destination(&packet), Some(Ipv4Addr::new(10, 77, 0, 3)));
        assert_eq!(destination(&packet[..19]), None);
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None);
        assert_eq!(destination(&[]), None);
    }
}

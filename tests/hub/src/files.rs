//! Bodies of files: in pieces, and as badly as the faults want.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::faults::Fate;

/// Sends bytes `from..to` of a file. Returns whether the connection lives.
pub(crate) fn send(
    stream: &mut TcpStream,
    file: &mut File,
    (from, to): (u64, u64),
    fate: &Fate,
    sent: &AtomicU64,
) -> io::Result<bool> {
    file.seek(SeekFrom::Start(from))?;
    let end = fate.cut.map_or(to, |after| to.min(from + after));
    // Small pieces keep a slow connection even.
    let piece = fate.rate.map_or(64 << 10, |rate| (rate / 20).clamp(1, 64 << 10)) as usize;
    let mut buffer = vec![0; piece];
    let (mut at, start) = (from, Instant::now());
    while at < end {
        let n = buffer.len().min((end - at) as usize);
        file.read_exact(&mut buffer[..n])?;
        for offset in fate.corrupt.iter().filter(|o| (at..at + n as u64).contains(o)) {
            buffer[(offset - at) as usize] ^= 0xff;
        }
        stream.write_all(&buffer[..n])?;
        at += n as u64;
        sent.fetch_add(n as u64, Ordering::SeqCst);
        if let Some(rate) = fate.rate.filter(|r| *r > 0) {
            let due = Duration::from_secs_f64((at - from) as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    if fate.cut.is_some() {
        stream.flush()?;
        stream.shutdown(Shutdown::Both)?;
        return Ok(false);
    }
    Ok(true)
}

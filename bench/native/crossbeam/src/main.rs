// P7 and P8 with crossbeam-channel: 64 B from one thread to another (crossbeam knows threads, no coroutines), and a send
// and a receive in one thread. Usage: bench_crossbeam rendezvous|buffered|select|pair SECONDS; prints nanoseconds for each
// message received. select: the receiver selects over two rendezvous channels, each with a sender of its own.
// And bench_crossbeam rendezvous|buffered PAIRS PROCESSORS rate SECONDS (bench_independent.c): pairs of threads, each with a
// channel of its own; prints messages a second, all pairs together. PROCESSORS is the caller's affair (taskset): threads run
// where the kernel puts them.
use crossbeam_channel::{bounded, select, Receiver, Sender};
use std::convert::TryInto;
use std::time::{Duration, Instant};

const ROUND: usize = 1024;
const CAPACITY: usize = 64;
type Element = [u8; 64];

fn send_all(sender: Sender<Element>) {
    let mut element: Element = [0; 64];
    loop {
        element[0] = element[0].wrapping_add(1);
        if sender.send(element).is_err() {
            return; // the receiver has gone
        }
    }
}

fn started(capacity: usize) -> Receiver<Element> {
    let (sender, receiver) = bounded(capacity);
    std::thread::spawn(move || send_all(sender));
    receiver
}

fn pass_one(receiver: &Receiver<Element>) -> bool {
    let (mut last, mut good) = (0u8, true);
    for i in 0..ROUND {
        let element = receiver.recv().expect("a sender");
        good = good && (i == 0 || element[0] == last.wrapping_add(1));
        last = element[0];
    }
    good
}

fn pass_select(one: &Receiver<Element>, two: &Receiver<Element>) -> bool {
    let mut count = 0;
    for _ in 0..ROUND {
        select! {
            recv(one) -> element => count += element.is_ok() as usize,
            recv(two) -> element => count += element.is_ok() as usize,
        }
    }
    count == ROUND
}

fn pass_pair(sender: &Sender<Element>, receiver: &Receiver<Element>) -> bool {
    let mut element: Element = [7; 64];
    for i in 0..ROUND {
        element[0] = i as u8;
        if sender.send(element).is_err() || receiver.recv() != Ok(element) {
            return false;
        }
    }
    true
}

fn report<F: FnMut() -> bool>(mut pass: F, seconds: f64) -> bool {
    let mut good = pass(); // warms up
    let (mut done, begin) = (0usize, Instant::now());
    while good && begin.elapsed().as_secs_f64() < seconds {
        good = pass();
        done += ROUND;
    }
    if good {
        println!("{:.3}", begin.elapsed().as_nanos() as f64 / done as f64);
    }
    good
}

// Numbers of one end: how many, and their sum.
type End = (u64, u64);

fn number_of(element: &Element) -> u64 {
    u64::from_le_bytes(element[..8].try_into().expect("eight bytes"))
}

fn send_numbers(sender: Sender<Element>, first: u64, until: Instant) -> End {
    let (mut element, mut told): (Element, End) = ([0; 64], (0, 0));
    while Instant::now() < until {
        for _ in 0..ROUND {
            let number = first + told.0;
            element[..8].copy_from_slice(&number.to_le_bytes());
            sender.send(element).expect("a receiver");
            told = (told.0 + 1, told.1.wrapping_add(number));
        }
    }
    told
}

fn receive_numbers(receiver: Receiver<Element>) -> End {
    receiver.iter().fold((0, 0), |told: End, element| {
        (told.0 + 1, told.1.wrapping_add(number_of(&element)))
    })
}

// Messages a second; None when a pair's two ends have not counted the same.
fn rate(capacity: usize, pairs: u64, seconds: f64) -> Option<f64> {
    let begin = Instant::now();
    let until = begin + Duration::from_secs_f64(seconds);
    let ends: Vec<_> = (1..=pairs)
        .map(|pair| {
            let (sender, receiver) = bounded(capacity);
            let received = std::thread::spawn(move || receive_numbers(receiver));
            (
                std::thread::spawn(move || send_numbers(sender, pair << 40, until)),
                received,
            )
        })
        .collect();
    let told: Vec<(End, End)> = ends
        .into_iter()
        .map(|(sent, received)| {
            (
                sent.join().expect("a sender"),
                received.join().expect("a receiver"),
            )
        })
        .collect();
    let took = begin.elapsed().as_secs_f64();
    let total: u64 = told.iter().map(|(sent, _)| sent.0).sum();
    let good = total != 0 && told.iter().all(|(sent, received)| sent == received);
    good.then(|| total as f64 / took)
}

fn measure_pairs(words: &[String]) -> Option<bool> {
    let capacity = match words[1].as_str() {
        "rendezvous" => 0,
        "buffered" => CAPACITY,
        _ => return None,
    };
    let pairs: u64 = words[2].parse().ok()?;
    let found = rate(capacity, pairs, words[5].parse().ok()?);
    if let Some(rate) = found {
        println!("{rate:.0}");
    }
    Some(found.is_some())
}

fn measure(mode: &str, seconds: f64) -> Option<bool> {
    match mode {
        "rendezvous" | "buffered" => {
            let receiver = started(if mode == "buffered" { CAPACITY } else { 0 });
            Some(report(|| pass_one(&receiver), seconds))
        }
        "select" => {
            let (one, two) = (started(0), started(0));
            Some(report(|| pass_select(&one, &two), seconds))
        }
        "pair" => {
            let (sender, receiver) = bounded(CAPACITY);
            Some(report(|| pass_pair(&sender, &receiver), seconds))
        }
        _ => None,
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let seconds = words
        .get(2)
        .filter(|_| words.len() == 3)
        .and_then(|word| word.parse().ok());
    let good = match seconds {
        Some(seconds) if words.len() == 3 => measure(&words[1], seconds),
        None if words.len() == 6 && words[4] == "rate" => measure_pairs(&words),
        _ => None,
    };
    match good {
        Some(true) => {}
        Some(false) => {
            eprintln!("a message changed on its way");
            std::process::exit(1)
        }
        None => {
            eprintln!("usage: bench_crossbeam rendezvous|buffered|select|pair SECONDS");
            eprintln!("       bench_crossbeam rendezvous|buffered PAIRS PROCESSORS rate SECONDS");
            std::process::exit(2)
        }
    }
}

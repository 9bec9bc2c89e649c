// P7 and P8 with crossbeam-channel: 64 B from one thread to another (crossbeam knows threads, no coroutines), and a send
// and a receive in one thread. Usage: bench_crossbeam rendezvous|buffered|select|pair SECONDS; prints nanoseconds for each
// message received. select: the receiver selects over two rendezvous channels, each with a sender of its own.
use crossbeam_channel::{bounded, select, Receiver, Sender};
use std::time::Instant;

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
    let seconds = words.get(2).and_then(|word| word.parse().ok());
    let good = match seconds {
        Some(seconds) if words.len() == 3 => measure(&words[1], seconds),
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
            std::process::exit(2)
        }
    }
}

//! How many invoices a second one core typesets, beside WeasyPrint on the same invoices. Prints figures; decides nothing.
//!
//! `cargo bench -p invoicing --bench pages`. Every invoice has its own customer, number and amounts; the template is ours. An invoice
//! is PDF/A-3a with its Factur-X inside. WeasyPrint comes from PyPI into a folder below `target/tmp`; where it cannot be had the
//! comparison is left out. It gets the same words and figures as HTML, the same XML to attach, and writes PDF/A-3b.
//!
//! `-- one 500` or `-- four 200` typesets so many of a kind after the warm-up and nothing else, for profiles and counts of
//! instructions; a layout named behind it is used in place of ours, and the last page set is kept in `target/tmp`.

#![expect(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::unwrap_used,
    reason = "a bench divides and prints its figures, and its fixture is the tests'"
)]

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use invoicing::{CallEntry, Invoice, Profile, Template, render_pdf, to_xml};
use rust_decimal::Decimal;

/// For so long each kind is typeset, after the warm-up.
const MEASURED: Duration = Duration::from_secs(8);
const N_WARM: u32 = 20;
/// WeasyPrint is asked for as many of each kind.
const N_OTHERS: u32 = 12;

/// The program's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Makes the invoice of a number.
type Make = fn(u32) -> Invoice;

fn main() {
    let kinds: [(&str, Make); 2] = [("one-page", one_page), ("four-page, 150 calls", four_pages)];
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let [kind, n, layout @ ..] = &asked[..] {
        let (name, make) = kinds.into_iter().find(|(name, _)| name.starts_with(kind.as_str())).unwrap();
        let n: u32 = n.parse().unwrap();
        let files = layout.iter().map(|path| ("invoice.typ".to_owned(), fs::read(path).unwrap())).collect();
        let template = Template::with(files).unwrap();
        let (began, mut last) = (now(), Vec::new());
        for n in 0..N_WARM + n {
            last = render_pdf(&make(n), &template).expect("the invoice is in order");
        }
        println!("{name}: {} in {:?}", N_WARM + n, began.elapsed());
        fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{kind}.pdf")), last).unwrap();
        return;
    }
    let others = others();
    for (name, make) in kinds {
        let first = render(&make(0));
        println!("{name}: {} bytes, {} pages", first.len(), pages(&first));
        let ours = per_second(make, 1_000_000);
        println!("{name}: {ours:.1} invoices/s on one core");
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let all: f64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads)
                .map(|idx| {
                    let from = 2_000_000 + 1_000_000 * u32::try_from(idx).unwrap_or_default();
                    scope.spawn(move || per_second(make, from))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread typesets to its end")).sum()
        });
        println!("{name}: {all:.1} invoices/s on {n_threads} threads");
        match others.as_deref().map_err(Clone::clone).and_then(|python| weasyprint(python, make)) {
            Ok(theirs) => {
                println!(
                    "{name}: WeasyPrint {theirs:.2} invoices/s on one core; {:.0} times as many are ours",
                    ours / theirs
                );
            }
            Err(why) => println!("{name}: WeasyPrint left out: {why}"),
        }
    }
}

/// Typesets invoices numbered `from` onwards.
fn per_second(make: Make, from: u32) -> f64 {
    for n in 0..N_WARM {
        render(&make(from + n));
    }
    let began = now();
    let mut n_made = 0;
    while began.elapsed() < MEASURED {
        render(&make(from + N_WARM + n_made));
        n_made += 1;
    }
    f64::from(n_made) / began.elapsed().as_secs_f64()
}

fn render(invoice: &Invoice) -> Vec<u8> {
    render_pdf(invoice, &Template::default()).expect("the invoice is in order")
}

fn pages(pdf: &[u8]) -> usize {
    let page = b"/Type/Page/";
    pdf.windows(page.len()).filter(|window| window == page).count()
}

fn one_page(n: u32) -> Invoice {
    invoice(n, Vec::new())
}

fn four_pages(n: u32) -> Invoice {
    let start = fixture::october().first_day().and_hms_opt(7, 30, 11).expect("a time of day");
    let calls = (0..150_u32).map(|idx| {
        let mixed = (n + 1).wrapping_mul(2_654_435_761).wrapping_add(idx.wrapping_mul(40_503)) % 900_000;
        let zone = ["Austria fixed", "Austria mobile", "Germany fixed", "Germany mobile", "Vietnam mobile"];
        CallEntry {
            at: start + TimeDelta::seconds(i64::from(idx) * 17_011 + i64::from(mixed % 900)),
            to: format!("43660{:06}***", 100_000 + mixed),
            zone: zone[idx as usize % zone.len()].to_owned(),
            seconds: Decimal::from(1 + mixed % 1_900),
            cost: Decimal::new(i64::from(mixed) * 17, 6),
        }
    });
    invoice(n, calls.collect())
}

/// October of customer `n`.
fn invoice(n: u32, calls: Vec<CallEntry>) -> Invoice {
    let mut customer = fixture::customer();
    customer.name = format!("Spedition Müller & Söhne {n} AG");
    let usage = fixture::usual_calls().into_iter().map(|mut line| {
        line.calls += u64::from(n % 97);
        line.cost += Decimal::new(i64::from(n % 9_973), 2);
        line
    });
    let account = fixture::account(customer, Decimal::from(20));
    let (tenant, seller) = (fixture::tenant(fixture::issuer()), fixture::seller_terms());
    let mut invoice = fixture::draft(&tenant, &seller, &account, &fixture::terms(), |order| {
        order.fees = fixture::usual_fees();
        order.usage = usage.collect();
        order.calls = calls;
    });
    invoice.finalise(format!("NT-2026-{n:06}")).expect("a draft takes a number");
    invoice
}

/// A Python with WeasyPrint, or why there is none.
fn others() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("weasyprint");
    let python = dir.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "weasyprint"]))?;
    Ok(python)
}

fn weasyprint(python: &Path, make: Make) -> Result<f64, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("weasyprint-invoices");
    fs::remove_dir_all(&dir).or_else(|why| if dir.exists() { Err(why.to_string()) } else { Ok(()) })?;
    fs::create_dir_all(&dir).map_err(|why| why.to_string())?;
    for n in 0..N_OTHERS {
        let invoice = make(n);
        let xml = to_xml(&invoice, Profile::FacturX).map_err(|why| why.to_string())?;
        let json = invoice.to_json().map_err(|why| why.to_string())?;
        fs::write(dir.join(format!("{n}.xml")), xml).map_err(|why| why.to_string())?;
        fs::write(dir.join(format!("{n}.json")), json).map_err(|why| why.to_string())?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/weasy.py");
    let said = run(Command::new(python).arg(script).arg(&dir))?;
    said.trim().parse().map_err(|_| format!("it said {said:?}"))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|why| format!("{}: {why}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or("it failed and said nothing").to_owned())
}

//! temp
fn main() -> std::process::ExitCode {
    let a: Vec<String> = std::env::args().collect();
    fz_crash::try_power(&a[1], a[2].parse().unwrap(), a[3].parse().unwrap())
}

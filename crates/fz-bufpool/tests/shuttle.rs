//! The models under shuttle: `RUSTFLAGS="--cfg fz_shuttle" cargo test --release -p fz-bufpool --features _shuttle
//! --test shuttle`.
#![cfg(fz_shuttle)]

mod models;

#[test]
fn every_model_holds_under_random_schedules() {
    for (_, body) in models::ALL {
        shuttle::check_random(body, 2_000);
        shuttle::check_pct(body, 2_000, 3);
    }
}

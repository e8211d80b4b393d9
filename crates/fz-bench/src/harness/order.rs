//! In which order the contestants of one round take their turns.
//!
//! A contestant inherits the state that the one before it left: a warm or a throttled processor, a device
//! still busy with its discards. A mere rotation would let each follow the same one in each
//! round. This is Williams' design, from crossover trials: over as many rounds as there are
//! contestants (twice as many if their number is odd), each follows each other one equally often.
//! E. J. Williams, "Experimental designs balanced for the estimation of residual effects of
//! treatments", Australian Journal of Scientific Research 2 (1949).

/// The places of `contestants` contestants in the order in which they take their turns in `round`.
pub(crate) fn of_round(round: usize, contestants: usize) -> Vec<usize> {
    // 0, 1, last, 2, last but one, …: no two steps are equal if the number is even.
    let zigzag = (0..contestants).map(|turn| if turn % 2 == 1 { turn.div_ceil(2) } else { contestants - turn / 2 });
    let mut order: Vec<_> = zigzag.map(|place| (place + round) % contestants).collect();
    // If it is odd, each step occurs twice, and its opposite never: going backwards makes up for it.
    if contestants % 2 == 1 && round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn everybody_has_one_turn_in_each_round() {
        for contestants in 0..16 {
            for round in 0..32 {
                let mut order = of_round(round, contestants);
                order.sort_unstable();
                assert!(order.into_iter().eq(0..contestants), "round {round} of {contestants}");
            }
        }
    }

    #[test]
    fn everybody_follows_each_other_one_equally_often() {
        for contestants in 2..16 {
            let mut followed = BTreeMap::<_, usize>::new();
            for round in 0..2 * contestants {
                let order = of_round(round, contestants);
                order.windows(2).for_each(|pair| *followed.entry((pair[0], pair[1])).or_default() += 1);
            }
            assert_eq!(followed.len(), contestants * (contestants - 1), "each pair both ways, of {contestants}");
            assert!(followed.values().all(|&times| times == 2), "{contestants}: {followed:?}");
        }
    }
}

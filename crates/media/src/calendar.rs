//! Wall-clock instants as text.

const DAY_SECONDS: u64 = 86_400;

/// Unix milliseconds as RFC 3339 in UTC with three decimals, such as `2026-11-23T10:15:30.120Z`.
pub fn rfc3339(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil(seconds / DAY_SECONDS);
    let of_day = seconds % DAY_SECONDS;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        unix_ms % 1000
    )
}

/// Unix seconds as a date in UTC, such as `2026-11-23`.
pub fn date(unix_seconds: u64) -> String {
    let (year, month, day) = civil(unix_seconds / DAY_SECONDS);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days since 1970, in the proleptic Gregorian calendar. Years begin in March
/// here, so that the leap day is the last of its year; an era is 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_428_930_120), "2026-11-23T10:15:30.120Z");
        assert_eq!(date(4_102_444_800), "2100-01-01");
        assert_eq!(date(4_107_542_400), "2100-03-01");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = civil(0);
        for days in 1..200_000 {
            let (year, month, day) = civil(days);
            let next_day = (year, month, day) == (before.0, before.1, before.2 + 1);
            let next_month = day == 1 && (year, month) == (before.0, before.1 + 1);
            let next_year = (month, day) == (1, 1) && year == before.0 + 1;
            assert!(
                next_day || next_month || next_year,
                "{before:?} {year}-{month}-{day}"
            );
            assert!(day <= 31 && month <= 12);
            before = (year, month, day);
        }
    }
}

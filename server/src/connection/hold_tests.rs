use super::*;
use crate::testing;

#[test]
fn a_place_is_small() {
    assert!(size_of::<Hold>() <= 88, "{}", size_of::<Hold>());
}

#[test]
fn a_token_says_of_which_member_it_is_and_is_like_no_other() {
    for member in [1, 0xffff_ffff, (1 << 40) - 1] {
        let new = || new_token(member, random().expect("random bytes"));
        let ((token, hash), (other, _)) = (new(), new());
        assert_eq!(token.reveal().len(), TOKEN_DIGITS);
        assert_eq!(member_of(token.reveal()), Some(member));
        assert_eq!(TokenHash::of(token.reveal()), hash);
        assert_ne!(token, other);
    }
}

#[test]
fn a_client_is_silent_from_when_it_is_back_on_at_any_time() {
    const WRAPS: u64 = 1 << 32;
    for start in [1, WRAPS / 2 - 70_000, WRAPS - 70_000, 3 * WRAPS - 1] {
        let connection = &testing::member(1, "test", 0).connection;
        connection.set_hold(Box::new(Hold::new(TokenHash::of("token"), start)));
        let hold = connection.hold().expect("it has one");
        assert_eq!(hold.silence(0, true, start + 5000), 5000);
        assert!(hold.leave(start + 6000, start + 90_000));
        connection.come_back(start + 80_000);
        assert_eq!(hold.silence(0, true, start + 80_001), 1);
        assert_eq!(hold.silence(0, true, start + 150_000), 70_000);
        assert_eq!(hold.silence(0, true, start + 149_999), 69_999);
        assert_eq!(hold.silence(1, true, start + 160_000), 0);
        assert_eq!(
            hold.silence(1, true, start + 159_999),
            0,
            "a clock that is behind"
        );
    }
}

#[test]
fn a_place_is_over_at_its_own_time_alone() {
    const DAY: u64 = 86_400_000;
    for start in [1, (1 << 32) - DAY / 2, 1 << 40] {
        let hold = Hold::new(TokenHash::of("token"), start);
        assert!(hold.leave(start, start + DAY));
        for at in [start, start + DAY - 1, start + DAY + 1, start + 2 * DAY] {
            assert!(!hold.is_due(at) && !hold.expire(at, None), "{at}");
        }
        assert!(!hold.expire(start + DAY, Some(start + 2 * DAY)), "put off");
        assert!(!hold.expire(start + DAY, None));
        assert!(hold.is_due(start + 2 * DAY) && hold.expire(start + 2 * DAY, None));
    }
}

use super::*;
use crate::kernel::clock::boottime;

#[test]
fn a_canary_is_made_waited_for_and_missed_if_it_is_not_reported() {
    let mut canary = Canary::new(Duration::from_secs(3600));
    let begin = boottime();
    canary.tick(begin);
    let pid = canary.flight.as_ref().unwrap().pid;
    while !canary.flight.as_ref().unwrap().waited_for {
        canary.tick(boottime());
        std::thread::yield_now();
    }
    assert!(waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).is_err(), "the child was waited for");
    canary.tick(Ktime(begin.0 + DEADLINE_NS));
    assert_eq!((canary.whole, canary.broken, canary.age(boottime())), (0, 1, None));
}

#[test]
fn the_second_missed_canary_raises_an_alert_and_one_in_a_known_loss_does_not() {
    let mut canary = Canary::new(Duration::from_secs(3600));
    canary.complain(&["forked"]);
    assert!(!canary.take_alert(), "one can be an accident");
    canary.loss_is_known();
    canary.complain(&["forked"]);
    assert!(!canary.take_alert(), "that one was lost with others");
    canary.lossy = false;
    let alerts: Vec<u32> = (2..=9)
        .filter(|_| {
            canary.complain(&["forked"]);
            canary.take_alert()
        })
        .collect();
    assert_eq!(alerts, [2, 4, 8]);
    assert!(!canary.take_alert(), "an alert is taken once");
}

#[test]
fn a_release_that_the_kernel_can_hide_is_not_broken_unless_all_are() {
    let mut canary = Canary::new(Duration::from_secs(3600));
    canary.judge(Ktime(1), &["released"]);
    assert_eq!((canary.hidden, canary.broken, canary.last_whole), (0, 1, None), "nothing is hidden here");
    canary.hidden_releases.are_possible = true;
    for _ in 0..HIDDEN_IN_A_ROW {
        canary.judge(Ktime(2), &["released"]);
    }
    assert_eq!((canary.hidden, canary.broken, canary.last_whole), (3, 1, Some(Ktime(2))));
    canary.judge(Ktime(3), &["released"]);
    canary.judge(Ktime(3), &["exited", "released"]);
    assert_eq!((canary.hidden, canary.broken, canary.last_whole), (3, 3, Some(Ktime(2))));
    canary.judge(Ktime(4), &[]);
    canary.judge(Ktime(5), &["released"]);
    assert_eq!((canary.whole, canary.hidden, canary.last_whole), (1, 4, Some(Ktime(5))));
}

#[test]
fn a_refused_canary_is_no_blindness_unless_the_one_before_went_unseen() {
    let (refused_at, youngest) = (Ktime(1000), Ktime(1500));
    let mut canary = Canary::new(Duration::from_secs(3600));
    assert_eq!(canary.proof(false, youngest), None, "canaries can be made: their lives are the proof");
    canary.refuse(libc::EAGAIN, refused_at);
    assert_eq!((canary.no_pid, canary.broken), (1, 0));
    assert_eq!(canary.refusal().unwrap(), "the canary cannot fork (EAGAIN): no pid is left");
    assert_eq!(canary.proof(false, youngest), Some(refused_at), "nothing has come through since");
    canary.rename.seen = Some(Ktime(1100));
    assert_eq!(canary.proof(false, youngest), Some(Ktime(1100)));
    assert_eq!(canary.proof(true, youngest), Some(refused_at), "the refused clone itself was not seen");
    canary.refused.as_mut().unwrap().seen = Some(Ktime(1050));
    assert_eq!(canary.proof(true, youngest), Some(Ktime(1050)));
    canary.loss_is_known();
    assert_eq!(canary.proof(true, youngest), Some(youngest), "records come, some of them are lost");
    canary.lossy = false;
    canary.unexplained = 1;
    assert_eq!(canary.proof(true, youngest), None, "hooks are in doubt");
}

#[test]
fn without_canaries_none_is_made() {
    let mut canary = Canary::new(Duration::ZERO);
    canary.tick(boottime());
    assert!(canary.flight.is_none());
}

//! How callers learn that their records are durable: with one wake-up for each thread that waits.
//!
//! To wake a task of another thread is a system call, and all callers that share a sync are told at once. So those of one thread share a bell:
//! the log wakes one of them, and that one wakes the others, which their own thread does without a system call.
//!
//! **Whoever is woken has to be polled, or dropped**: until then the others sleep, and so do those of later syncs. A task that waits for several
//! things polls its [`Wait`] whenever it is woken, whatever woke it (`select!` and `join!` do, an iterator over futures that it comes back to later
//! may not), and forgets none (`mem::forget`).

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use super::{RecordError, lock_of, queue::Answer};

thread_local! {
    static BELL: Arc<Bell> = Arc::default();
}

/// The callers of one thread.
#[derive(Debug, Default)]
struct Bell(Mutex<Callers>);

#[derive(Debug, Default)]
struct Callers {
    /// Those that wait, by number, and those that did not come for their answer yet.
    known: HashMap<u64, Caller>,
    next: u64,
    /// Those that were answered, and whom nobody has woken.
    asleep: Vec<u64>,
    /// Who was woken to wake them. It is known: whoever leaves does it before.
    leader: Option<u64>,
}

#[derive(Debug, Default)]
struct Caller {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

impl Callers {
    /// Those whom the leader has to wake, if this is the leader.
    fn led_by(&mut self, number: u64) -> Vec<Waker> {
        if self.leader != Some(number) {
            return Vec::new();
        }
        self.leader = None;
        let asleep = std::mem::take(&mut self.asleep);
        let wakers = asleep.iter().filter_map(|other| self.waker_of(*other));
        wakers.collect()
    }

    fn waker_of(&mut self, number: u64) -> Option<Waker> {
        self.known.get_mut(&number)?.waker.take()
    }

    /// Whom to wake, where nobody was woken yet.
    fn lead(&mut self) -> Option<Waker> {
        while self.leader.is_none()
            && let Some(number) = self.asleep.pop()
        {
            if let Some(waker) = self.waker_of(number) {
                self.leader = Some(number);
                return Some(waker);
            }
        }
        None
    }
}

/// A caller with so many events, and whoever answers it.
pub(super) fn pair(count: u64) -> (Answering, Answered) {
    let bell = BELL.with(Arc::clone);
    let number = {
        let mut callers = lock_of(&bell.0);
        let number = callers.next;
        callers.next += 1;
        callers.known.insert(number, Caller::default());
        number
    };
    let answering = Answering {
        bell: Arc::clone(&bell),
        number,
        count,
        is_answered: false,
    };
    (answering, Answered { bell, number })
}

/// What answers a caller; dropped, it says that the log is closed.
#[derive(Debug)]
pub(super) struct Answering {
    bell: Arc<Bell>,
    number: u64,
    count: u64,
    is_answered: bool,
}

impl Answering {
    /// Lays down the answer; the bell is to be rung afterwards. Tells whether somebody may come for it: not where the caller has given up.
    fn lay_down(&mut self, answer: Answer) -> bool {
        self.is_answered = true;
        let mut callers = lock_of(&self.bell.0);
        let Some(caller) = callers.known.get_mut(&self.number) else {
            return false;
        };
        caller.answer = Some(answer);
        if caller.waker.is_some() {
            callers.asleep.push(self.number);
        }
        true
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_answered {
            self.lay_down(Err(RecordError::Closed));
            ring(&self.bell);
        }
    }
}

/// Answers callers, and wakes each thread of theirs once. Returns how many events are of callers that had given up: they learn nothing any more.
pub(super) fn answer(answers: impl IntoIterator<Item = (Answering, Answer)>) -> u64 {
    let mut bells: Vec<Arc<Bell>> = Vec::new();
    let mut unheard = 0;
    for (mut answering, answer) in answers {
        if !answering.lay_down(answer) {
            unheard += answering.count;
        }
        if !bells.iter().any(|bell| Arc::ptr_eq(bell, &answering.bell)) {
            bells.push(Arc::clone(&answering.bell));
        }
    }
    for bell in &bells {
        ring(bell);
    }
    unheard
}

fn ring(bell: &Bell) {
    let first = lock_of(&bell.0).lead();
    if let Some(first) = first {
        first.wake();
    }
}

/// A caller, who may wait for the answer, give up waiting, and wait again.
#[derive(Debug)]
pub(super) struct Answered {
    bell: Arc<Bell>,
    number: u64,
}

impl Answered {
    /// Waits for the answer, which is told once.
    pub(super) fn wait(&mut self) -> Wait<'_> {
        Wait(self)
    }

    /// Waits no more. Returns an answer that was there, and that nobody has heard.
    pub(super) fn give_up(&mut self) -> Option<Answer> {
        lock_of(&self.bell.0).known.remove(&self.number)?.answer
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// A caller that waits. Once woken it has to be polled, or dropped.
#[derive(Debug)]
pub(super) struct Wait<'a>(&'a mut Answered);

impl Future for Wait<'_> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let number = self.0.number;
        let mut callers = lock_of(&self.0.bell.0);
        let led = callers.led_by(number);
        let polled = match callers.known.get_mut(&number) {
            None => Poll::Ready(Err(RecordError::Closed)),
            Some(caller) => {
                if let Some(answer) = caller.answer.take() {
                    Poll::Ready(answer)
                } else {
                    caller.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        };
        if polled.is_ready() {
            callers.known.remove(&number);
        }
        drop(callers);
        led.into_iter().for_each(Waker::wake);
        polled
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut callers = lock_of(&self.0.bell.0);
        // Who gives up is not waited for by those whom it was to wake.
        let led = callers.led_by(self.0.number);
        let own = callers.waker_of(self.0.number);
        drop(callers);
        drop(own);
        led.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
        thread,
    };

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A caller that waits, and how often it was woken.
    struct Waiting {
        wait: Wait<'static>,
        woken: Arc<Counting>,
    }

    impl Waiting {
        fn new(answered: Answered) -> Self {
            // Some bytes for each test.
            let answered = Box::leak(Box::new(answered));
            Self {
                wait: answered.wait(),
                woken: Arc::default(),
            }
        }

        fn poll(&mut self) -> Poll<Answer> {
            let waker = Waker::from(Arc::clone(&self.woken));
            Pin::new(&mut self.wait).poll(&mut Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::SeqCst)
        }
    }

    fn waiting(count: u64) -> (Vec<(Answering, Answer)>, Vec<Waiting>) {
        let pairs = (0..count).map(|number| {
            let (answering, answered) = pair(1);
            let mut waiting = Waiting::new(answered);
            assert_eq!(waiting.poll(), Poll::Pending);
            ((answering, Ok(number..number + 1)), waiting)
        });
        pairs.unzip()
    }

    fn woken(waiting: &[Waiting]) -> usize {
        waiting.iter().map(Waiting::woken).sum()
    }

    #[test]
    fn one_of_a_thread_is_woken_and_wakes_the_others() {
        let (answers, mut here) = waiting(5);
        let (elsewhere, there) = thread::spawn(|| waiting(3)).join().unwrap();
        answer(answers.into_iter().chain(elsewhere));
        assert_eq!((woken(&here), woken(&there)), (1, 1));
        let first = here.iter().position(|one| one.woken() == 1).unwrap();
        let number = first as u64;
        assert_eq!(here[first].poll(), Poll::Ready(Ok(number..number + 1)));
        assert!(here.iter().all(|one| one.woken() == 1));
        for (number, one) in (0_u64..).zip(&mut here) {
            let expected = if number == first as u64 {
                Err(RecordError::Closed)
            } else {
                Ok(number..number + 1)
            };
            assert_eq!(one.poll(), Poll::Ready(expected));
        }
        assert_eq!((woken(&here), woken(&there)), (5, 1));
    }

    #[test]
    fn who_was_woken_and_gives_up_wakes_the_others_all_the_same() {
        let (answers, mut waiting) = waiting(4);
        answer(answers);
        waiting.retain(|one| one.woken() == 0);
        assert_eq!(waiting.len(), 3);
        assert_eq!(woken(&waiting), 3);
    }

    #[test]
    fn who_gave_up_is_not_the_one_that_is_woken() {
        let (answers, mut waiting) = waiting(4);
        let kept = waiting.remove(0);
        drop(waiting);
        answer(answers);
        assert_eq!(kept.woken(), 1);
    }

    #[test]
    fn the_events_of_those_who_gave_up_are_counted() {
        let mut pairs: Vec<_> = (1..4).map(pair).collect();
        let (_, mut heard) = pairs.pop().unwrap();
        assert_eq!(heard.give_up(), Some(Err(RecordError::Closed)));
        let (answers, mut answered): (Vec<_>, Vec<_>) = pairs
            .into_iter()
            .map(|(answering, answered)| ((answering, Err(RecordError::Slow)), answered))
            .unzip();
        answered.pop();
        assert_eq!(answer(answers), 2);
        assert_eq!(answered[0].give_up(), Some(Err(RecordError::Slow)));
        assert_eq!(answered[0].give_up(), None);
    }

    #[test]
    fn who_is_answered_before_they_wait_is_not_woken() {
        let (answering, answered) = pair(1);
        answer([(answering, Ok(0..1))]);
        let mut waiting = Waiting::new(answered);
        assert_eq!(waiting.poll(), Poll::Ready(Ok(0..1)));
        assert_eq!(waiting.woken(), 0);
    }

    #[test]
    fn those_of_the_next_sync_are_woken_by_whoever_was_woken_for_the_last() {
        let (first, mut early) = waiting(1);
        let (second, mut late) = waiting(2);
        answer(first);
        answer(second);
        assert_eq!((woken(&early), woken(&late)), (1, 0));
        assert!(early[0].poll().is_ready());
        assert!(
            late.iter_mut()
                .all(|one| one.woken() == 1 && one.poll().is_ready())
        );
        let (third, last) = waiting(1);
        answer(third);
        assert_eq!(woken(&last), 1);
    }

    #[test]
    fn a_log_that_ends_answers_who_still_waits() {
        let (answers, mut waiting) = waiting(2);
        drop(answers);
        assert_eq!(woken(&waiting), 1);
        waiting.sort_by_key(|one| std::cmp::Reverse(one.woken()));
        for one in &mut waiting {
            assert_eq!(one.poll(), Poll::Ready(Err(RecordError::Closed)));
        }
        assert_eq!(woken(&waiting), 2);
    }
}

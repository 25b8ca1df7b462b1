/*  lease.pml - leases, tokens, expand and replay, checked in every interleaving (spin 6)
 *
 *  One install (PARENT) with one download (CHILD), two pool members, a recorder that may die between any two of its steps, a broker that may be
 *  replaced, a follower. Time is not modelled: a lease may end at any moment, which covers every clock. A message that is lost is
 *  an answer that a member never takes.
 *
 *  Checked: (1) a job's effect happens once, whatever a member with an older token does late; (2) the parent's second step is leased only when
 *  its child has ended; (3) the follower sees every change, each once, in order, and none that was not committed; (4) with a bounded number of mishaps
 *  the install ends and the follower knows it.
 *
 *  Planted bugs, each of which must be found: -DNO_TOKEN_CHECK, -DNO_WAIT_FOR_CHILD, -DTELL_BEFORE_COMMIT, -DNO_REPLAY,
 *  -DNO_LAPSE.
 */
#define MISHAPS 3 /* deaths, lapses and lost answers in all; more finds nothing new and doubles the states */
#define PARENT 0
#define CHILD 1
#define NOBODY 255

mtype = { ABSENT, QUEUED, LEASED, WAITING, DONE };

/*  The recorder's rows: what survives its death. */
mtype status [2];
byte token [2];     /* counts per job, kept after the end */
bool expanded;      /* the parent's step: false = resolve, true = place */
byte change;        /* last committed change: the outbox holds 1..change */

/*  The world. */
byte effects [2];   /* how often a job's effect has happened */
byte told;          /* recorder's memory: changes the broker has been told */
byte seen;          /* broker's memory: last change of this store */
byte known;         /* follower: last change it has been given */
byte mishaps;

/*  An effect, its row and its change are one transaction; with the planted bug the event leaves before it. */
inline commit ()
{
#ifdef TELL_BEFORE_COMMIT
    if
    :: told == change -> told = change + 1; seen = change + 1; known = change + 1
    :: else
    fi;
    if
    :: mishaps < MISHAPS -> mishaps++; told = 0; goto died
    :: true
    fi;
#endif
    change++
}

inline mishap ()
{
    mishaps < MISHAPS -> mishaps++
}

/*  The recorder's side of lease: one transaction; its answer may be lost. */
proctype member ()
{
    byte job, held;

idle:
    do
    :: atomic { status [PARENT] == QUEUED -> job = PARENT; goto lease }
    :: atomic { status [CHILD] == QUEUED -> job = CHILD; goto lease }
    :: status [PARENT] == DONE -> break
    od;
    goto over;

lease:
    atomic {
        if
        :: status [job] == QUEUED ->
            assert (!(job == PARENT && expanded) || status [CHILD] == DONE);
            status [job] = LEASED;
            token [job]++;
            held = token [job]
        :: else -> goto idle
        fi
    };
    if
    :: true
    :: atomic { mishap (); goto idle } /* the answer is lost, or the member dies: the row stays leased until it lapses */
    fi;

finish: /* the work is done; the member says so, perhaps long after its lease has lapsed, perhaps twice */
    atomic {
        if
#ifdef NO_TOKEN_CHECK
        :: status [job] != DONE || held != token [job] ->
#else
        :: status [job] == LEASED && held == token [job] ->
#endif
            if
            :: job == PARENT && !expanded ->
                status [CHILD] = QUEUED;
#ifdef NO_WAIT_FOR_CHILD
                status [PARENT] = QUEUED;
#else
                status [PARENT] = WAITING;
#endif
                expanded = true;
                commit ()
            :: else ->
                effects [job]++;
                status [job] = DONE;
                if
                :: job == CHILD && status [PARENT] == WAITING -> status [PARENT] = QUEUED
                :: else
                fi;
                commit ()
            fi
        :: else /* ended by this token: the first answer again; by an older one: stale_token; nothing changes either way */
        fi
    };
    if
    :: goto idle
    :: atomic { mishap (); goto finish } /* the answer is lost: said again with the same token */
    fi;
died:
    goto idle;
over:
    skip
}

/*  A lease that nobody extends goes back to the queue; the member may live on and not know it. */
proctype lapse ()
{
    do
    :: atomic { status [PARENT] == LEASED -> mishap (); status [PARENT] = QUEUED }
    :: atomic { status [CHILD] == LEASED -> mishap (); status [CHILD] = QUEUED }
    :: status [PARENT] == DONE -> break
    :: mishaps == MISHAPS -> break
    od
}

/*  A row whose holder is gone for good lapses in the end; this is the clock, and no mishap. */
proctype clock ()
{
    do
#ifndef NO_LAPSE
    :: atomic { timeout && status [PARENT] == LEASED -> status [PARENT] = QUEUED }
    :: atomic { timeout && status [CHILD] == LEASED -> status [CHILD] = QUEUED }
#endif
    :: status [PARENT] == DONE -> break
    od
}

/*  After the commit: the outbox is told in order; death forgets how far, so some is told again. */
proctype teller ()
{
    do
    :: atomic {
        told < change ->
            told++;
            if
            :: told > seen -> /* the broker drops what it has seen */
                seen = told;
                if
                :: told == known + 1 -> known = told
                :: told <= known /* given before, in another epoch */
                :: else ->
#ifdef NO_REPLAY
                    assert (false)
#else
                    known = told /* a new epoch began behind it: event.history fills the gap from the outbox, in order */
#endif
                fi
            :: else
            fi
        }
    :: atomic { mishap (); told = 0 }                              /* the recorder dies: the watermark was not durable */
    :: atomic { mishap (); seen = 0; told = change }               /* a new broker, and what was under way to the old one is lost … */
    :: atomic { told == change && known < change -> told = known } /* … told again after the hello: unanswered publishes repeat */
    :: status [PARENT] == DONE && known == change -> break
    od
}

init {
    atomic {
        status [PARENT] = QUEUED;
        status [CHILD] = ABSENT;
        run member ();
        run member ();
        run lapse ();
        run clock ();
        run teller ()
    }
}

ltl once { [] (effects [PARENT] <= 1 && effects [CHILD] <= 1 && known <= change) }
ltl ends { <> (status [PARENT] == DONE && status [CHILD] == DONE && known == change) }

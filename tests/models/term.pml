/* Two pgrotor processes on one catalog, checked exhaustively: A has the term and may be stopped (SIGSTOP, a cut network) at any step; B takes
   the term over and moves a set from S to T while A, when it wakes, still believes its map. Each process is proxy and coordinator in one.
   Rules, each removed by its -D:
   NO_WAIT    B takes the term only when A's lease has run out by the catalog's clock
   NO_CHECK   A looks at its lease, counted from the sending of the renewal, before it relays an answer: it ends before the catalog's
   NO_FENCE   B writes its epoch to the shards and ends A's backends there before it moves anything
   END_FIRST  ... in that order: else A logs in again in between
   NO_LOGIN   A's logins read the shard's epoch and refuse one that is not theirs
   NO_OWNER   the permanent guard: S takes no row of the set when the move's own guard is gone
   Either of two is enough against stale reads: the lease with its check on every sharded read (NO_FENCE), or the fence in the shards
   (NO_WAIT,NO_CHECK), which lets traffic go on while the catalog is away. Writes: the fence or the permanent guard (NO_OWNER).
   Limits: S can be reached by B; one set; B is never superseded. Run by spin_model.sh. */
#ifdef NO_OWNER
#define OWNER_GUARD false
#else
#define OWNER_GUARD true
#endif

bool lease = true;         /* A's, as A's own clock says; A looks at it only where it checks */
bool catalog_lease = true; /* the same as the catalog's clock says: ends later */
byte term = 1;             /* of the catalog */
byte shard_epoch = 1;      /* of S */
bool connected = true;     /* A has a backend on S, logged in and checked */
bool logging_in = false;   /* A has a backend on S that has not read the epoch yet */
bool guard_closed = false; /* the move's guard on S refuses */
bool moved = false, target_open = false, cleaned = false;
byte acked = 0;            /* writes that some client was told of */
byte at_source = 0, at_target = 0;

active proctype clocks() { atomic { lease = false }; atomic { catalog_lease = false } }

active proctype a() { byte seen, got, n = 0; bool read;
  do
  :: n < 3 -> n++;
     if                                                     /* a connection, an old one or a new one */
     :: connected -> skip
     :: !connected -> logging_in = true;
#ifndef NO_LOGIN
        if :: atomic { logging_in && shard_epoch == 1 -> connected = true; logging_in = false }
           :: atomic { logging_in && shard_epoch > 1 -> logging_in = false }; goto out
           :: !logging_in -> goto out                       /* ended meanwhile */
        fi
#else
        if :: atomic { logging_in -> connected = true; logging_in = false } :: !logging_in -> goto out fi
#endif
     fi;
     seen = acked;                                          /* a client's statement begins */
     if :: read = true :: read = false fi;
     atomic {
       if
       :: !connected -> goto out                            /* the backend has been ended: the client gets an error */
       :: connected && read -> got = (cleaned -> 0 : at_source)
       :: connected && !read && (guard_closed || (cleaned && OWNER_GUARD)) -> goto next   /* RT001 */
       :: connected && !read && !guard_closed && !(cleaned && OWNER_GUARD) ->
          assert(!moved);                                   /* two owners: the write is lost to readers on T */
          at_source++; acked++; goto next
       fi };
#ifndef NO_CHECK
     if :: atomic { lease -> assert(got >= seen) }          /* relayed */
        :: atomic { !lease -> goto out }                    /* discarded */
     fi;
#else
     assert(got >= seen);                                   /* stale read */
#endif
next: skip
  :: n >= 3 -> break
  od;
out: skip }

active proctype b() {
#ifndef NO_WAIT
  !catalog_lease;
#endif
  term = 2;
#ifndef NO_FENCE
#ifdef END_FIRST
  atomic { connected = false; logging_in = false };
  shard_epoch = 2;
#else
  shard_epoch = 2;
  atomic { connected = false; logging_in = false };
#endif
#endif
  guard_closed = true;                                      /* steps 1 to 5 of the cutover: modelled in cutover.pml */
  atomic { moved = true; at_target = at_source };
  target_open = true;
  atomic { at_target++; acked++ };                          /* a client of B's */
  atomic { cleaned = true; at_source = 0 };
  guard_closed = false;                                     /* the move's guard is dropped */
  atomic { at_target++; acked++ } }

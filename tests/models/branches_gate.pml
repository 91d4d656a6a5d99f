/* DESIGN §9 "Branches and moves" with the cutover of §7: set M goes from s1 to s2; rows a (s1) and b (s2) stay and are fought for, each session has an M row of its own.
   Sessions run transactions for ever: lock a, lock b (in this order), look at s2, read M, write M, each at most once and in any other order, then end.
   NP proxies close, drain, seal and open one after the other; one branch may be left in doubt; a client may bypass the proxies.
   Budget: an attempt is given up only when a counted transaction waits for a row whose holder waits at a gate and nobody may let that one through.
   Slice: assumed longer than what a running transaction needs. Run by spin_model.sh. Each -D takes one rule away and gives a counterexample:
   ACK_ONCE    a proxy's ack binds it at once (text of §7 and §9), instead of drained → seal → unseal            deadlock until the budget (NP=2)
   TODAY       one shard, no branches: gate_book of the code, one ack per worker (here: proxy)           the same (NP=2), none with NP=1
   OPEN_ONLY   past the gate runs only what is open on the source (§7), not who has locks on s2          none, unless NO_LET is set as well
   LONG        session NS-1 holds a lock elsewhere for ever (with LIVE: harmless, except under ACK_ONCE)
   NO_LET      who locked elsewhere after the close is never let through     NO_SLICE  … is let through at once     OWN_SLICE  … by a timer of its own
   NO_FLIGHT   the ack does not wait for a statement of an open reader that is on its way              stale read, refused writer
   NO_STEP0    step 0 does not ask the recoverer for the branch in doubt                                 no attempt succeeds
   NO_SNAP     an old snapshot on the target touches what moved in           NO_READ_HOLD  a sealed gate lets reads pass        both: stale read
   NO_XLOCK    step 2 without the exclusive advisory lock    NO_REGISTER  guard does not read the register    OPEN_FIRST  target opens before step 2 */
#ifndef NP
#define NP 2
#endif
#ifndef NS
#define NS 3
#endif
#ifdef TODAY
#define ACK_ONCE
#define NO_LET
#endif
#define NONE 255
#define px(i) (NP==1 -> 0 : (i)%2)            /* session -> proxy */
#define GATE 3
mtype = { open_, closed_, sealed_ };
mtype phase[2] = open_; bool newmap[2];       /* the proxies */
bool flipped, opened, reg_closed, marker, xlock, moved;
byte lk[3] = NONE;                            /* holders of a=1 and b=2 */
chan qa = [NS] of { byte }; chan qb = [NS] of { byte };
byte wt[NS];                                  /* waits for: 0 nothing, 1 a, 2 b, GATE */
bool fl[NS], locks[NS], tm[NS], on1[NS], early[NS], let[NS];     /* wrote or locked; touched M; open on s1; ran before the close; let through;
                                                            fl: a statement is on its way */
bool gl[NS], bypass, doubt, asked, was_doubt;            /* the guard's shared lock: sessions, the bypassing client, a prepared branch in doubt */
#ifdef SNAP
bool rr[NS], old1[NS], on2[NS], old2[NS];     /* REPEATABLE READ; snapshot on s1 older than the flip; open on s2; snapshot on s2 older than the opening */
#endif

/* counted: what a drain waits for. Open readers (touched M, no lock anywhere) are not, unless a statement of theirs is on its way */
#ifdef NO_FLIGHT
#define FLIES(i) false
#else
#define FLIES(i) fl[i]
#endif
#if defined(ACK_ONCE) && !defined(TODAY)
#define COUNTED(i) (FLIES(i) || (locks[i] && (tm[i] || early[i])))
#else
#define COUNTED(i) (FLIES(i) || (locks[i] && tm[i]))
#endif
#define C(i,p)     (i<NS && px(i)==p && COUNTED(i))
#define DRAINED(p) (!C(0,p) && !C(1,p) && (NS==2 || !C(NS-1,p)))
#define ATGATE(h)  (h!=NONE && wt[h]==GATE)
#define BEHIND(i)  (COUNTED(i) && (wt[i]==1 || wt[i]==2) && (ATGATE(lk[wt[i]]) || (lk[wt[i]]!=NONE && (wt[lk[wt[i]]]==1 || wt[lk[wt[i]]]==2) && ATGATE(lk[wt[lk[wt[i]]]]))))
#define BLOCKED    (BEHIND(0) || BEHIND(1) || BEHIND(NS-1))
#ifdef NO_LET
#define MAYLET(w)  false
#else
#define MAYLET(w)  (wt[w]==GATE && locks[w] && phase[px(w)]==closed_)
#endif
#define SEALED     (phase[0]==sealed_ && (NP==1 || phase[1]==sealed_))
#define GUARDED    (gl[0] || gl[1] || gl[NS-1] || bypass || doubt)

#ifdef OPEN_ONLY
#define RUNS_ON(i) on1[i]
#else
#define RUNS_ON(i) (on1[i] || locks[i])
#endif
#if defined(TODAY)
#define LETS(i) on1[i]
#elif defined(NO_SLICE)
#define LETS(i) (let[i] || locks[i])
#else
#define LETS(i) let[i]
#endif
#define ANYCOUNTED (COUNTED(0) || COUNTED(1) || COUNTED(NS-1))
#ifdef NO_REGISTER
#define REFUSED xlock
#else
#define REFUSED (xlock || reg_closed)
#endif
#ifdef SNAP
#define OLDREADER (rr[me] && old1[me] && tm[me])
#define STALE     (flipped && !(rr[me] && old1[me]))
#else
#define STALE     flipped
#endif
#define PASS(i,rd) (phase[px(i)]==open_ || (phase[px(i)]==closed_ && (tm[i] || early[i] || LETS(i))) || HELDREAD(rd))
#ifdef NO_READ_HOLD
#define HELDREAD(rd) rd
#else
#define HELDREAD(rd) false
#endif

#define BAD(x) printf(x); assert(false)
inline take(q, r) {                            /* row locks are granted in order of arrival */
  atomic { wt[me]=r; q!me };
  atomic { lk[r]==NONE && q?[eval(me)] -> q?eval(me); lk[r]=me; wt[me]=0; locks[me]=true } }
inline end_tx() {
  if :: lk[1]==me -> lk[1]=NONE :: else -> skip fi; if :: lk[2]==me -> lk[2]=NONE :: else -> skip fi;
  gl[me]=false; fl[me]=false; locks[me]=false; tm[me]=false; on1[me]=false; early[me]=false; let[me]=false; did=0; wt[me]=0;
#ifdef SNAP
  rr[me]=false; old1[me]=false; on2[me]=false; old2[me]=false;
#endif
  goto begin }
inline snap1() {
#ifdef SNAP
  if :: !on1[me] && !flipped -> old1[me]=true :: else -> skip fi;
#endif
  on1[me]=true }
inline snap2() {
#ifdef SNAP
  if :: !on2[me] -> on2[me]=true; old2[me]=!newmap[px(me)] :: else -> skip fi
#else
  skip
#endif
  }

proctype session(byte me) { byte did; bool rd, at2;
#ifdef LONG
  if :: me==NS-1 -> locks[me]=true; endlong: false :: else -> skip fi;
#endif
begin:
  if :: newmap[px(me)] -> goto over :: !newmap[px(me)] fi;                         /* what begins after the move is of no interest */
#ifdef SNAP
  if :: rr[me]=true :: skip fi;
#endif
more: do
#ifndef SNAP
  :: !(did&3)  -> atomic { did=did|1; snap1() }; take(qa, 1)                       /* lock a on s1 */
#endif
#ifndef TODAY
  :: !(did&2)  -> atomic { did=did|2; snap2() }; take(qb, 2)                       /* lock b on s2 */
#endif
#ifdef SNAP
  :: atomic { !(did&4) -> did=did|4; snap2() }                                     /* plain read of b on s2 */
#endif
#if defined(SNAP) || defined(READS)
  :: atomic { !(did&8)  -> did=did|8; rd=true }; break
#endif
  :: atomic { !(did&16) -> did=did|16; rd=false }; break
#ifdef DOUBT
  :: atomic { did && gl[me] && !was_doubt -> was_doubt=true; doubt=true; end_tx() }  /* prepared on s1, then the proxy's transaction is lost sight of */
#endif
  :: atomic { did -> end_tx() }
  od;
  atomic { wt[me]=GATE; PASS(me, rd) -> wt[me]=0; at2=newmap[px(me)];              /* the gate, then the statement is on its way */
#ifdef SNAP
    if :: at2 && OLDREADER && rd -> at2=false                                      /* an open reader keeps its snapshot on the source */
       :: at2 && OLDREADER && !rd -> end_tx()                                      /* 40001 */
       :: else -> skip fi;
#endif
    if :: !at2 -> tm[me]=true; fl[me]=true :: else -> skip fi };
  atomic { if
    :: !at2 -> snap1();
       if :: rd && STALE -> BAD("stale read on the source\n")
          :: rd && !STALE -> skip
          :: !rd && !gl[me] && REFUSED -> BAD("a transaction is refused\n")
          :: !rd && (gl[me] || !REFUSED) -> gl[me]=true; locks[me]=true; if :: marker -> BAD("write after the marker\n") :: else -> skip fi
       fi
    :: at2 ->
#ifdef SNAP
       snap2();
       if :: rr[me] && old2[me] ->
#ifdef NO_SNAP
             BAD("old snapshot on the target\n")
#else
             end_tx()                                                              /* 40001 */
#endif
          :: else -> skip fi;
#endif
       if :: !(opened && flipped && reg_closed) -> BAD("two owners\n") :: else -> skip fi;
       if :: !rd -> locks[me]=true :: else -> skip fi
    fi; fl[me]=false; rd=false; at2=false };
  goto more;
over: skip }

proctype bypassing() { byte n;                                                     /* a client that knows the shards; only guard and register stop it */
end: do
  :: n<2 -> n++;
     if :: atomic { !REFUSED -> bypass=true };
           atomic { if :: marker -> BAD("write after the marker\n") :: else -> skip fi; bypass=false }
        :: atomic { opened -> if :: !(flipped && reg_closed) -> BAD("two owners\n") :: else -> skip fi }
        :: skip fi
  :: else -> break
  od }

#define CLOSE(p)   atomic { phase[p]=closed_; i=0; do :: i<NS -> if :: px(i)==p -> early[i]=RUNS_ON(i) :: else -> skip fi; i++ :: else -> break od }
proctype coordinator() { byte i;
attempt:
#ifndef NO_STEP0
  if :: doubt -> asked=true; !doubt :: !doubt fi;                                  /* 0 */
#endif
#ifdef OPEN_FIRST
  opened=true;
#endif
  CLOSE(0); if :: NP==2 -> CLOSE(1) :: else -> skip fi;                            /* 1 */
drain:
  if
#ifdef ACK_ONCE
  :: SEALED -> skip
#else
  :: DRAINED(0) && (NP==1 || DRAINED(1)) -> skip                                   /* reported by each; seal only if it still holds, else unseal at once */
#endif
  :: BLOCKED && !SEALED && !MAYLET(0) && !MAYLET(1) && !MAYLET(NS-1) ->
#ifdef LIVE
     goto giveup
#else
     BAD("deadlock until the budget\n")
#endif
  fi;
#ifndef ACK_ONCE
  if :: atomic { DRAINED(0) -> phase[0]=sealed_ } :: atomic { !DRAINED(0) -> goto drain } fi;
  if :: NP==1 -> skip :: atomic { NP==2 && DRAINED(1) -> phase[1]=sealed_ } :: atomic { NP==2 && !DRAINED(1) -> phase[0]=closed_; goto drain } fi;
#endif
#ifndef NO_XLOCK
  xlock=true;                                                                      /* 2; a waiting exclusive lock already refuses newcomers */
  if :: !GUARDED -> skip :: GUARDED -> xlock=false; goto giveup fi;                /* 10 ms: a miss */
#endif
  atomic { reg_closed=true; marker=true; xlock=false };
  flipped=true;                                                                    /* 3, 4 */
  opened=true;                                                                     /* 5 */
  atomic { newmap[0]=true; phase[0]=open_ }; atomic { newmap[1]=true; phase[1]=open_ };      /* 6 */
  atomic { moved=true; i=0; do :: i<NS -> early[i]=false; let[i]=false; i++ :: else -> break od }; goto over;
giveup:
  atomic { phase[0]=open_; phase[1]=open_; i=0; do :: i<NS -> early[i]=false; let[i]=false; i++ :: else -> break od }; goto attempt;
over: skip }

#ifdef ACK_ONCE
proctype acker(byte p) { end: do :: atomic { phase[p]==closed_ && DRAINED(p) -> phase[p]=sealed_ } od }
#endif

#define LET(w) if :: MAYLET(w) -> let[w]=true :: else -> skip fi
proctype slices() {
end: do
#ifdef OWN_SLICE
  :: atomic { ANYCOUNTED -> if :: MAYLET(0) -> let[0]=true :: MAYLET(1) -> let[1]=true :: MAYLET(NS-1) -> let[NS-1]=true fi }
#else
  :: atomic { BLOCKED && (MAYLET(0) || MAYLET(1) || MAYLET(NS-1)) -> LET(0); LET(1); LET(NS-1) }      /* one slice for all: who waits now is let through, as one batch */
#endif
  od }

proctype recoverer() { end: do :: atomic { asked && doubt -> doubt=false; asked=false } od }

init { atomic { byte i; do :: i<NS -> run session(i); i++ :: else -> break od;
  run coordinator();
#ifdef DOUBT
  run recoverer();
#endif
#ifdef BYPASS
  run bypassing();
#endif
#ifdef ACK_ONCE
  run acker(0); if :: NP==2 -> run acker(1) :: else -> skip fi;
#endif
#if !defined(NO_LET) && !defined(NO_SLICE)
  run slices();
#endif
  skip } }

#ifdef LIVE
ltl success { <> moved }                        /* weak fairness: compile with -DNFAIR=3, run pan -a -f */
#endif

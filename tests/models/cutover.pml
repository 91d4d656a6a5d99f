/* The cutover, checked exhaustively: one moving set, source S(0), target T(1), NP proxies, 2 coordinators (B takes over from a
   paused A), and a second attempt after one that was given up. Each -D removes one rule of DESIGN 7 and has a counterexample:
   NO_EPOCH, NO_WFENCE (guard and register), END_BEFORE_FENCE (marker without the lock), NO_DRAIN (switch before the marker is
   applied), NO_RFENCE (reads on the old owner after the switch), STALE_MARKER (an earlier attempt's marker counts).
   Run by spin_model.sh. */
#define NP 2
#ifndef NW
#define NW 3
#endif
byte cat_gen=1, cat_owner=0, cat_epoch=0;   /* durable catalog row */
byte st=0;                                   /* 0 copy 1 fencing 2 fenced(end known) 3 flipped 4 open/done 9 aborted */
byte endpos=0;
bool s_wf=false, s_rf=false;                 /* write / read fence at source */
byte s_fep=0;                                /* epoch stored with the fence */
bool t_open=false;
byte s_log=0, t_app=0, t_own=0;              /* commits at S, applied prefix at T, native commits at T */
byte acked=0; byte nw=0; bool crash=false;
bool slot=true;

active proctype repl() { end: do :: atomic{ t_app<s_log && !(st>=3 && st!=9 && t_app>=endpos) -> t_app++ } od }

proctype proxy() { byte o=0; byte seen; byte n=0;
 do
 :: n<4 -> n++;
   if
   :: o=cat_owner                                     /* refresh the cached map (may also never happen: partition) */
   :: atomic { nw<NW -> nw++;
        if :: o==0 && !s_wf -> s_log++; seen=1
           :: o==0 && s_wf  -> seen=0
           :: o==1 && t_open -> t_own++; seen=1
           :: o==1 && !t_open -> seen=0
        fi };
      if :: seen==1 -> atomic{acked++}                /* ack reaches client */
         :: seen==1 -> skip                           /* proxy dies first: ambiguous, never retried */
         :: seen==0 -> skip
      fi
   :: seen=acked;                                     /* read: must see >= what was acked at invocation */
      atomic { if :: o==0 && !s_rf -> assert(s_log>=seen)
                  :: o==1 && t_open -> assert(t_app+t_own>=seen)
                  :: else -> skip fi }
   fi
 :: n>=4 -> break
 od }

#ifdef NO_EPOCH
#define MINE true
#define SMINE true
#else
#define MINE (cat_epoch==me)
#define SMINE (s_fep<=me)
#endif

byte attempts=0;                             /* given up and tried again, at most once */
byte first_end=0; bool first_known=false;    /* where the first attempt's marker stands in the stream */

proctype coord(bool second) { byte me; byte e;
  atomic { cat_epoch++; me=cat_epoch };
  if :: second ->                                     /* takeover: decide from durable state */
        if :: atomic { MINE && st<3 -> st=9 };        /* abort is one catalog transaction */
              atomic { SMINE -> s_fep=me; s_wf=false; s_rf=false }; goto fin
           :: atomic { st>=3 && st!=9 -> skip }; goto fwd
           :: st==9 -> goto fin
        fi
     :: else -> skip fi;
again:
  if :: atomic { MINE && st==0 -> st=1 } :: else -> goto fin fi;
#ifndef NO_WFENCE
  if :: atomic { SMINE -> s_fep=me; s_wf=true } :: else -> goto fin fi;
#endif
  e=s_log;
#ifdef END_BEFORE_FENCE
  e=(s_log>0 -> s_log-1 : 0);
#endif
  if :: atomic { !first_known -> first_known=true; first_end=e } :: else -> skip fi;
#ifdef STALE_MARKER
  e=first_end;
#endif
#ifndef NO_DRAIN
  if                                                  /* the budget ran out: the old owner opens again with a higher value */
  :: atomic { attempts==0 -> attempts++ };
     if :: atomic { SMINE -> s_fep=me; s_wf=false } :: else -> goto fin fi;
     if :: atomic { MINE && st==1 -> st=0 } :: else -> goto fin fi;
     goto again
  :: skip
  fi;
  (t_app>=e || !(cat_epoch==me));
#endif
  if :: atomic { MINE && st==1 -> st=3; endpos=e; cat_gen++; cat_owner=1 }    /* the flip: CAS on epoch+state */
#ifdef NO_EPOCH
     :: atomic { st!=1 -> st=3; endpos=e; cat_gen++; cat_owner=1 }
#endif
     :: else -> goto fin fi;
fwd:
#ifndef NO_RFENCE
  atomic { s_wf=true; s_rf=true; };
#endif
  t_open=true; 
  atomic { st=4 };
fin: skip }

init { atomic { run proxy(); run proxy(); run coord(false); run coord(true) } 
       (_nr_pr==2);   /* all but repl ended, log drained */
       /* final: everything acknowledged lives at the owner */
       if :: cat_owner==1 -> (t_app>=endpos); assert(t_app+t_own>=acked); assert(endpos==s_log)
          :: cat_owner==0 -> assert(s_log>=acked && t_own==0) fi }

#include <stdio.h>
#include <stdlib.h>
#include "kcoro/kc_channel.h"
static kc_channel *ch; static kc_hub *hub; static int got; static int descs;
static void recvs(void *a){ (void)a; uint32_t v=0; kc_channel *c=ch; 
  if(descs){ kc_desc d; got = kc_channel_recv_desc(c,&d,KC_NEVER,NULL); }
  else got = kc_channel_recv(c,&v,sizeof v,NULL,KC_NEVER); printf("got %d %u\n",got,v); }
static void sends(void *a){ (void)a; uint32_t v=7; static int x;
  if(descs) printf("send %d\n", kc_channel_send_ptr(ch,&x,4,KC_NEVER)); else
  printf("send %d\n", kc_channel_send(ch,&v,sizeof v,KC_NEVER)); kc_channel_drop(ch); }
int main(int argc,char**argv){ descs = argc>2;
  kc_engine *e=NULL; kc_sched *s; kc_sched_config cfg={.workers=1,.stack_bytes=256<<10};
  if(atoi(argv[1])) kc_engine_make(NULL,&e);
  kc_sched_make(&cfg,&s); kc_hub_make(e,&hub);
  kc_channel_config c={.kind=KC_KIND_RENDEZVOUS,.elem_size=descs?0:4};
  kc_channel_make(hub,&c,&ch);
  kc_sched_spawn(s,recvs,NULL,NULL);kc_sched_spawn(s,sends,NULL,NULL);
  kc_sched_free(s); kc_hub_free(hub); if(e) kc_engine_free(e); puts("ok"); }

// A plugin that ends as its path says.
#include "sdk/authhost.h"

static volatile int sink;

__attribute__((noinline)) static void fall(void) { ah_fail(AH("as told")); }
__attribute__((noinline)) static void reach(void) { sink = *(volatile char *)0xfffffff0; }
__attribute__((noinline)) static void turn(void) { for (;;) sink++; }

static ah_decision decide(void) {
	if (ah_is(ah_path(), "/fall")) fall();
	if (ah_is(ah_path(), "/reach")) reach();
	if (ah_is(ah_path(), "/turn")) turn();
	return ah_abstain();
}
AH_ON_AUTHORIZE(decide)

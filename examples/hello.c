/* The quick start of emyzelium.h: two peers in one program, without Tor.
 * Build: cc hello.c -lzmq -o hello; where the header lies beside it, include "emyzelium.h". */
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include <stdio.h>
#include <stdlib.h>

static void check(emz_result r, const char *what) {
    if (r != EMZ_OK) {
        fprintf(stderr, "%s: %s\n", what, emz_result_str(r));
        exit(1);
    }
}

int main(void) {
    char alice_public[EMZ_KEY_Z85_SIZE], alice_secret[EMZ_KEY_Z85_SIZE];
    char bob_public[EMZ_KEY_Z85_SIZE], bob_secret[EMZ_KEY_Z85_SIZE];
    const char *friends[1];
    const emz_part word = {"Hello, Bob!", 11};
    const emz_part *parts;
    const emz_etale *greeting;
    static emz_config config; /* all zero: all defaults */
    emz_efunguz *alice, *bob;
    emz_ehypha *to_alice;
    int turns;

    /* Each peer is known by its public key. Keep secret keys secret. */
    check(emz_keypair(alice_public, alice_secret), "keys");
    check(emz_keypair(bob_public, bob_secret), "keys");

    /* Alice publishes, and lets Bob alone read. */
    friends[0] = bob_public;
    config.whitelist = friends;
    config.whitelist_size = 1;
    config.pubsub_port = EMZ_ANY_PORT;
    config.log = emz_log_stderr;
    check(emz_efunguz_new(&alice, alice_secret, &config), "Alice");
    check(emz_efunguz_emit_etale(alice, "greeting", &word, 1), "emit");

    /* Bob asks Alice for one title. Over Tor it would be emz_efunguz_add_ehypha and her onion. */
    config.whitelist_size = 0;
    check(emz_efunguz_new(&bob, bob_secret, &config), "Bob");
    check(emz_efunguz_add_ehypha_direct(bob, alice_public, "127.0.0.1", emz_efunguz_port(alice),
                                        &to_alice),
          "ehypha");
    check(emz_ehypha_add_etale(to_alice, "greeting", &greeting), "etale");

    for (turns = 0; turns < 1000 && emz_etale_t_in(greeting) < 0; turns++) {
        emz_efunguz_update(alice); /* lets Bob in */
        emz_efunguz_update(bob);   /* receives */
        emz_efunguz_wait(bob, 10);
    }
    parts = emz_etale_parts(greeting, NULL);
    printf("%.*s (%s)\n", parts ? (int)parts[0].size : 0, parts ? (const char *)parts[0].data : "",
           emz_ehypha_link_str(to_alice));
    emz_efunguz_free(bob);
    emz_efunguz_free(alice);
    return parts ? 0 : 1;
}

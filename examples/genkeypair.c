/* Print a fresh key pair; with a secret key as argument, the public key that belongs to it.
 * Build: cc genkeypair.c -lzmq -o genkeypair */
#define EMYZELIUM_IMPLEMENTATION
#include "../emyzelium.h"
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    static const char usage[] = "Usage: genkeypair [SECRET-KEY]\n"
                                "In a shell, put the key in single quotes.\n";
    char publickey[EMZ_KEY_Z85_SIZE], secretkey[EMZ_KEY_Z85_SIZE];
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("Prints a fresh key pair; with a secret key, the public one that belongs to it.\n%s",
               usage);
        return 0;
    }
    emz_result result = argc == 2   ? emz_publickey(publickey, argv[1])
                        : argc == 1 ? emz_keypair(publickey, secretkey)
                                    : EMZ_ERR_ARGUMENT;
    if (result != EMZ_OK) {
        fprintf(stderr, "%s\n%s", emz_result_str(result), usage);
        return 1;
    }
    printf("public key: %s\n", publickey);
    if (argc == 1) {
        printf("secret key: %s\n", secretkey);
    }
    if (fclose(stdout)) { /* a key that is not written is lost */
        perror("genkeypair");
        return 1;
    }
    return 0;
}

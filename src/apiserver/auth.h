/* Who asks, and what he may do. Private to src/apiserver. Read next: auth.c. */
#pragma once

#include "apiserver/request.h"
#include "io/httpd.h"

void auth_admin(struct api_user *ret);
/* The user behind a certificate or a token; false: 401. */
bool auth_user(struct apiserver *server, struct arena *a, const struct httpd_peer *peer,
               struct str authorization, struct api_user *ret);
/* Goes on as another user, where the present one may (verb impersonate). Empty name and group: nothing. */
int auth_impersonate(struct api_request *rq, struct str name, struct str group);
struct auth_token {
    struct str ns, account, uid;
    struct str secret,
        secret_uid;  /* empty, or the Secret that holds it: without it the token is void */
    int64_t seconds; /* until it ends; 0: with its account */
};
struct str auth_token_make(struct apiserver *server, struct arena *a,
                           const struct auth_token *token, time_ms now);
/* May this user do that? Fails with kube-apiserver's 403. */
int authorize(struct api_request *rq, const char *verb, struct str group, struct str resource,
              struct str subresource, struct str ns, struct str name);
bool authorize_ask(struct apiserver *server, const struct api_user *user, const char *verb,
                   struct str group, struct str resource, struct str subresource, struct str ns,
                   struct str name);
bool authorize_path(const struct api_user *user, const char *method, struct str path);

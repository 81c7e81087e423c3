/* Short sentences on the fields that people ask `kubectl explain` about. A field that is not here is
 * shown with its type only. Read next: types.h. */
#include "apiserver/openapi.h"

static const struct {
    const char *type; /* NULL: of every type */
    const char *field, *about;
} sentences[] = {
    {NULL, "apiVersion", "Group and version of this form of the object."},
    {NULL, "kind", "The kind of the object."},
    {NULL, "metadata", "Name, namespace, labels and what else every object has."},
    {NULL, "spec", "What is wanted."},
    {NULL, "status", "What was last observed; the system writes it."},
    {NULL, "conditions", "Aspects of the current state, each true, false or unknown."},
    {"core.v1.Pod", "", "A Pod is a group of containers that run together on one node."},
    {"core.v1.PodSpec", "", "What a pod shall run, where, and with what."},
    {"core.v1.PodSpec", "containers", "The pod's containers; at least one."},
    {"core.v1.PodSpec", "initContainers",
     "Containers that run one after another before the others."},
    {"core.v1.PodSpec", "volumes", "Volumes that the containers can mount."},
    {"core.v1.PodSpec", "nodeName", "The node that the pod is bound to."},
    {"core.v1.PodSpec", "nodeSelector", "Labels that the node must have."},
    {"core.v1.PodSpec", "affinity", "Rules on which nodes it may or should run."},
    {"core.v1.PodSpec", "tolerations", "Taints of nodes that the pod puts up with."},
    {"core.v1.PodSpec", "restartPolicy", "Always, OnFailure or Never."},
    {"core.v1.PodSpec", "serviceAccountName", "The service account that the pod acts as."},
    {"core.v1.PodSpec", "terminationGracePeriodSeconds", "Seconds to end by itself when deleted."},
    {"core.v1.PodSpec", "priorityClassName", "The class that gives the pod its priority."},
    {"core.v1.PodSpec", "schedulerName", "The scheduler that places the pod."},
    {"core.v1.PodSpec", "imagePullSecrets", "Secrets for pulling its images."},
    {"core.v1.Container", "", "One container of a pod."},
    {"core.v1.Container", "name", "The container's name, a DNS label, unique in the pod."},
    {"core.v1.Container", "image", "The container image's name."},
    {"core.v1.Container", "command", "What to run in place of the image's entry point."},
    {"core.v1.Container", "args", "Arguments for the command."},
    {"core.v1.Container", "env", "Environment variables."},
    {"core.v1.Container", "envFrom", "Sources whose keys all become environment variables."},
    {"core.v1.Container", "ports", "Ports that the container listens on."},
    {"core.v1.Container", "resources", "What the container requests, and what it may use at most."},
    {"core.v1.Container", "volumeMounts", "Where the pod's volumes appear in its file system."},
    {"core.v1.Container", "livenessProbe", "Ends the container when it fails."},
    {"core.v1.Container", "readinessProbe", "Takes the container out of services when it fails."},
    {"core.v1.Container", "startupProbe", "Holds the other probes back until it succeeds."},
    {"core.v1.Container", "lifecycle", "What to do after the start and before the stop."},
    {"core.v1.Container", "workingDir", "The directory to start in."},
    {"core.v1.Container", "securityContext", "Privileges of the container's processes."},
    {"core.v1.ResourceRequirements", "limits", "The most that may be used of each resource."},
    {"core.v1.ResourceRequirements", "requests", "What is set aside of each resource."},
    {"core.v1.Service", "", "A Service is a name and a stable address for a set of pods."},
    {"core.v1.ServiceSpec", "selector", "Labels of the pods that the service leads to."},
    {"core.v1.ServiceSpec", "ports", "The ports that the service offers."},
    {"core.v1.ServiceSpec", "type", "ClusterIP, NodePort, LoadBalancer or ExternalName."},
    {"core.v1.ServiceSpec", "clusterIP", "Its address; None for a headless service."},
    {"core.v1.ConfigMap", "", "A ConfigMap holds configuration for pods to use."},
    {"core.v1.ConfigMap", "data", "Texts by key."},
    {"core.v1.ConfigMap", "binaryData", "Bytes by key, in base64."},
    {"core.v1.Secret", "", "A Secret holds confidential data."},
    {"core.v1.Secret", "data", "Bytes by key, in base64."},
    {"core.v1.Secret", "stringData", "Texts by key; taken over into data, never shown."},
    {"core.v1.Node", "", "A Node is a machine that runs pods."},
    {"core.v1.Namespace", "", "A Namespace is a scope for names."},
    {"core.v1.Event", "", "An Event reports something that happened to an object."},
    {"apps.v1.Deployment", "",
     "A Deployment keeps a number of equal pods and replaces them by newer."},
    {"apps.v1.DeploymentSpec", "replicas", "How many pods are wanted."},
    {"apps.v1.DeploymentSpec", "selector", "Selects the pods that belong to it."},
    {"apps.v1.DeploymentSpec", "template", "What the pods look like."},
    {"batch.v1.Job", "", "A Job runs pods until enough of them have succeeded."},
    {"coordination.v1.Lease", "", "A Lease tells who holds something, and until when."},
    {"meta.v1.ObjectMeta", "", "What every object has: names, labels, times, owners."},
    {"meta.v1.ObjectMeta", "name", "Unique in the namespace among objects of the kind."},
    {"meta.v1.ObjectMeta", "namespace", "The scope of the name."},
    {"meta.v1.ObjectMeta", "labels", "Keys and values to select objects by."},
    {"meta.v1.ObjectMeta", "annotations", "Keys and values for tools; not for selecting."},
    {"meta.v1.ObjectMeta", "ownerReferences", "Objects that this one goes away with."},
    {"meta.v1.ObjectMeta", "finalizers", "Must be empty before the object goes away."},
};

const char *openapi_about(const char *type, struct str field)
{
    for (size_t i = 0; i < ARRAY_SIZE(sentences); i++)
        if ((!sentences[i].type || strcmp(sentences[i].type, type) == 0) &&
            str_is(field, sentences[i].field))
            return sentences[i].about;
    return NULL;
}

import { readFileSync } from 'node:fs' // the token
import { createRequire } from 'node:module' // I41: the example mixes require with top-level await
const require = createRequire(process.env.PACKAGES)
const axios = require('axios');
class ProvisioningClient {
    constructor(baseUrl, token) {
        this.client = axios.create({
            baseURL: baseUrl,
            headers: {
                'Authorization': `Bearer ${token}`,
                'Content-Type': 'application/json'
            }
        });
    }
    async createServerWorkflow(infra, settings, checkMode = false) {
        const response = await this.client.post('/workflows/servers/create', {
            infra,
            settings,
            check_mode: checkMode,
            wait: true
        });
        return response.data;
    }
    async getTaskStatus(taskId) {
        const response = await this.client.get(`/tasks/${taskId}`);
        return response.data;
    }
}
// Usage
const client = new ProvisioningClient(process.env.BASE_URL, readFileSync(process.env.TOKEN_FILE, 'utf8'));
const result = await client.createServerWorkflow('production', 'config.k');
console.log(`Task ID: ${result.data}`);

// From here on not the reference's: a user's polling with the class above.
let task;
while (['Pending', 'Running'].includes((task = await client.getTaskStatus(result.data)).data.status))
    await new Promise(r => setTimeout(r, 1000));
console.log(`Task: ${JSON.stringify(task.data)}`);
